// LoRAs merged into networks of a model.
#include "pipeline/families/networks.h"

#include <torch/nn.h>
#include <torch/types.h>

#include <array>

#include "core/testing.h"
#include "io/safetensors_writer.h"

namespace pangu::pipeline {
namespace {

// A "denoiser" of one weight.
struct OneLinear : torch::nn::Module {
  torch::nn::Linear proj{nullptr};
  OneLinear() {
    proj = register_module("proj", torch::nn::Linear(torch::nn::LinearOptions(1, 1).bias(false)));
  }
};

io::NamedTensor view_of(const float& value) {
  io::NamedTensor tensor;
  tensor.view = {io::DType::F32, {1, 1}, reinterpret_cast<const std::byte*>(&value), sizeof value};
  return tensor;
}

// kohya's names: the change is up * down.
std::string lora_file(const TestFolder& folder, const std::string& name, float up,
                      const std::string& layer = "lora_unet_proj") {
  const std::array<float, 1> down = {1.0F}, ups = {up};
  io::SafetensorsWriter writer(folder.file(name),
                               {{layer + ".lora_down.weight", io::DType::F32, {1, 1}},
                                {layer + ".lora_up.weight", io::DType::F32, {1, 1}}},
                               {});
  for (const std::string& tensor : writer.order()) {
    writer.add(tensor,
               std::as_bytes(std::span(tensor.find("down") == std::string::npos ? ups : down)));
  }
  writer.commit();
  return folder.file(name);
}

TEST_CASE("the LoRAs of several files are summed before a weight is rounded to its type") {
  const TestFolder folder;
  // Near 1 bf16 has steps of 2^-7: each change alone is rounded away, both together are not.
  const float change = 0.003F;
  const std::vector<LoraUse> uses = {{lora_file(folder, "a.safetensors", change), 1.0, {}},
                                     {lora_file(folder, "b.safetensors", change), 1.0, {}}};
  const float one = 1.0F;
  Source source;
  source.components["unet"].tensors["proj.weight"] = view_of(one);
  OneLinear network;
  network.proj->weight.set_data(at::ones({1, 1}, at::kBFloat16));
  LoraSet(uses, source).merge_into(network, "unet", {});
  CHECK(network.proj->weight.item<double>() == 1.0 + 0x1p-7);
}

TEST_CASE("experts read prompts apart where a file for one of them changes text encoders") {
  const TestFolder folder;
  const float one = 1.0F;
  Source source;
  const std::string layer = "text_model.encoder.layers.0.mlp.fc1";
  source.components["unet"].tensors["proj.weight"] = view_of(one);
  source.components["unet_texture"].tensors["proj.weight"] = view_of(one);
  source.components["text_encoder"].tensors[layer + ".weight"] = view_of(one);
  const std::string unet = lora_file(folder, "unet.safetensors", 1.0F);
  const std::string text =
      lora_file(folder, "text.safetensors", 1.0F, "lora_te_text_model_encoder_layers_0_mlp_fc1");
  const auto parts = [&](const std::vector<LoraUse>& uses) {
    return LoraSet(uses, source).parts_text();
  };
  CHECK_FALSE(parts({}));
  CHECK_FALSE(parts({{text, 1.0, {}}, {unet + "@structure", 1.0, {}}}));
  CHECK(parts({{unet, 1.0, {}}, {text + "@texture", 1.0, {}}}));
  const LoraSet set({{text + "@texture", 1.0, {}}}, source);
  CHECK(set.of_expert("structure").empty());
  CHECK_FALSE(set.of_expert("texture").empty());
}

}  // namespace
}  // namespace pangu::pipeline
