// Files of trained LoRAs are read as what they were trained as.
#include "pipeline/trained_lora.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/testing.h"
#include "io/lora/lora_names.h"
#include "nn/text/clip_text.h"
#include "nn/unet/testing.h"
#include "nn/unet/unet.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

// The change alpha / rank * up * down of every layer, as io/lora reads a file of this layout.
std::map<std::string, at::Tensor> changes_read_back(const TestFolder& folder, LoraLayout layout) {
  at::manual_seed(5);
  nn::UNet2DConditionModel unet(nn::two_level_config());
  nn::LowRankOptions options;
  options.rank = 4;
  options.alpha = 2;
  options.kernel_rank = 2;
  options.targets = {"to_q", "to_out.0", "proj_in", "ff.net.0.proj", "conv1", "time_emb_proj"};
  nn::LowRankChanges changes(unet, options, "lora_unet_");
  nn::ClipTextConfig words;
  words.vocab_size = 16;
  words.hidden_size = 64;
  words.intermediate_size = 128;
  words.num_hidden_layers = 2;
  words.num_attention_heads = 1;
  words.max_position_embeddings = 8;
  nn::ClipTextModel text(words);
  options.targets = {"q_proj", "out_proj", "fc1"};
  changes.add(text, options, "lora_te_", "text_encoder");
  std::map<std::string, at::Tensor> weights;
  for (const auto& item : changes.named_parameters()) {
    weights[item.key()] = at::randn(item.value().sizes());
  }
  const std::string path = folder.file("lora.safetensors");
  tensors::save_safetensors(path, lora_tensors(changes.layers(), weights, layout));

  const auto shapes_of_modules = [](const torch::nn::Module& network) {
    io::ModuleShapes shapes;
    for (const auto& item : network.named_parameters()) {
      if (item.key().ends_with(".weight")) {
        shapes[item.key().substr(0, item.key().size() - 7)].weight = item.value().sizes().vec();
      }
    }
    return shapes;
  };
  const io::WeightsFile file = io::WeightsFile::open(path);
  const io::Lora lora = io::parse_lora(
      file.tensors(), {},
      {{"unet", shapes_of_modules(unet)}, {"text_encoder", shapes_of_modules(text)}}, path);
  CHECK(lora.misfits.empty());
  CHECK(lora.ignored.empty());
  const auto read = tensors::load_safetensors(path);
  std::map<std::string, at::Tensor> all;
  for (const io::LoraDelta& delta : lora.deltas) {
    const at::Tensor up = read.at(delta.parts.at(io::LoraPart::kUp).key).flatten(1);
    const at::Tensor down = read.at(delta.parts.at(io::LoraPart::kDown).key).flatten(1);
    all[delta.component + "." + delta.module] = at::matmul(up, down) * (delta.alpha / delta.rank);
  }
  CHECK(all.size() == changes.layers().size());
  return all;
}

TEST_CASE("a LoRA in kohya's names and one in diffusers' are the same changes of the same layers") {
  const TestFolder folder;
  const auto kohya = changes_read_back(folder, LoraLayout::kKohya);
  const auto diffusers = changes_read_back(folder, LoraLayout::kDiffusers);
  CHECK(kohya.size() == diffusers.size());
  CHECK(kohya.contains("text_encoder.text_model.encoder.layers.1.self_attn.q_proj"));
  for (const auto& [path, change] : kohya) {
    CAPTURE(path);
    // The factor is multiplied in at another place, in f32.
    CHECK(at::allclose(change, diffusers.at(path), 1e-5, 1e-6));
  }
}

}  // namespace
}  // namespace pangu::pipeline
