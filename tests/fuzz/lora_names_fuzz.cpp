// Whatever an adapter's tensors are called and shaped like: it is refused with an Error, or every
// change fits the module it names.
#include <cmath>
#include <cstdint>

#include "core/error.h"
#include "io/lora/lora_names.h"
#include "io/lora/lora_settings.h"
#include "io/lora/textual_inversion.h"
#include "tensor_lines.h"

using namespace pangu::io;
using pangu::fuzz::require;

namespace {

const BaseModules& base() {
  static const std::string block = "down_blocks.0.attentions.0.transformer_blocks.0.";
  static const BaseModules modules = {
      {"unet",
       {{"conv_in", {{32, 4, 3, 3}, {32}}},
        {"time_embedding.linear_1", {{128, 32}, {128}}},
        {"down_blocks.0.resnets.0.norm1", {{32}, {32}}},
        {"down_blocks.0.resnets.0.conv1", {{32, 32, 3, 3}, {32}}},
        {"down_blocks.0.resnets.0.time_emb_proj", {{32, 128}, {32}}},
        {"down_blocks.0.attentions.0.proj_in", {{32, 32, 1, 1}, {32}}},
        {block + "attn1.to_q", {{32, 32}}},
        {block + "attn1.to_out.0", {{32, 32}, {32}}},
        {block + "attn2.to_k", {{32, 24}}},
        {block + "ff.net.0.proj", {{256, 32}, {256}}},
        {"down_blocks.0.downsamplers.0.conv", {{32, 32, 3, 3}, {32}}}}},
      {"text_encoder", {{"text_model.encoder.layers.0.self_attn.q_proj", {{24, 24}, {24}}}}},
      {"text_encoder_2", {{"text_model.encoder.layers.0.mlp.fc1", {{48, 12}, {48}}}}}};
  return modules;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The first line is the settings that diffusers writes beside the tensors, or PEFT in a file.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(text.find('\n'), text.size());
  const TensorViews tensors = pangu::fuzz::tensors_of(text.substr(line));
  Metadata metadata;
  const bool flat = text.substr(0, line).find('.') != text.npos;
  if (line > 0) {
    metadata[flat ? "lora_adapter_metadata" : kAdapterConfigKey] = text.substr(0, line);
  }
  try {
    summarise_lora(tensors, metadata);
    bundled_embeddings(tensors);
    const Lora lora = parse_lora(tensors, metadata, base(), "input");
    require(lora.deltas.size() > lora.misfits.size());
    left_out(lora, "input");
    for (const LoraDelta& delta : lora.deltas) {
      const ModuleShape& shape = base().at(delta.component).at(delta.module);
      require(delta.rank > 0 && std::isfinite(delta.alpha));
      LoraShapes shapes;
      for (const auto& [part, tensor] : delta.parts) shapes[part] = tensor.view.shape;
      require(!lora_misfit(delta.form, shapes, shape));
      if (delta.form == LoraForm::kLowRank) {
        require(shapes.at(LoraPart::kUp).at(0) == shape.weight[0]);
        require(shapes.at(LoraPart::kDown).at(1) == shape.weight[1]);
      }
    }
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
