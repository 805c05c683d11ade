// Whatever an adapter's tensors are called and shaped like: it is refused with an Error, or every
// change fits the module it names.
#include <cmath>
#include <cstdint>

#include "core/error.h"
#include "io/lora/lora_names.h"
#include "tensor_lines.h"

using namespace pangu::io;
using pangu::fuzz::require;

namespace {

const BaseModules& base() {
  static const std::string block = "down_blocks.0.attentions.0.transformer_blocks.0.";
  static const BaseModules modules = {
      {"unet",
       {{"conv_in", {32, 4, 3, 3}},
        {"time_embedding.linear_1", {128, 32}},
        {"down_blocks.0.resnets.0.conv1", {32, 32, 3, 3}},
        {"down_blocks.0.resnets.0.time_emb_proj", {32, 128}},
        {"down_blocks.0.attentions.0.proj_in", {32, 32, 1, 1}},
        {block + "attn1.to_q", {32, 32}},
        {block + "attn1.to_out.0", {32, 32}},
        {block + "attn2.to_k", {32, 24}},
        {block + "ff.net.0.proj", {256, 32}},
        {"down_blocks.0.downsamplers.0.conv", {32, 32, 3, 3}}}},
      {"text_encoder", {{"text_model.encoder.layers.0.self_attn.q_proj", {24, 24}}}},
      {"text_encoder_2", {{"text_model.encoder.layers.0.mlp.fc1", {48, 12}}}}};
  return modules;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The first line is the settings that diffusers writes beside the tensors.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(text.find('\n'), text.size());
  const TensorViews tensors = pangu::fuzz::tensors_of(text.substr(line));
  Metadata metadata;
  if (line > 0) metadata["lora_adapter_metadata"] = text.substr(0, line);
  try {
    summarise_lora(tensors, metadata);
    const Lora lora = parse_lora(tensors, metadata, base(), "input");
    require(!lora.deltas.empty());
    for (const LoraDelta& delta : lora.deltas) {
      const auto& shape = base().at(delta.component).at(delta.module);
      require(delta.rank > 0 && std::isfinite(delta.alpha));
      require(delta.up.shape.at(0) == shape[0] && delta.down.shape.at(1) == shape[1]);
      require(delta.up.shape.at(1) == delta.rank && delta.down.shape.at(0) == delta.rank);
    }
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
