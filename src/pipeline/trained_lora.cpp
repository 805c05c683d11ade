#include "pipeline/trained_lora.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace pangu::pipeline {

LoraLayout lora_layout_from(const std::string& name) {
  if (name == "kohya") return LoraLayout::kKohya;
  if (name == "diffusers") return LoraLayout::kDiffusers;
  throw bad_input("lora_format", "'kohya' or 'diffusers'", "'" + name + "'");
}

std::map<std::string, at::Tensor> lora_tensors(const std::vector<nn::LowRankChanges::Layer>& layers,
                                               const std::map<std::string, at::Tensor>& weights,
                                               LoraLayout layout) {
  std::map<std::string, at::Tensor> tensors;
  for (const nn::LowRankChanges::Layer& layer : layers) {
    const at::Tensor &down = weights.at(layer.name + ".lora_down"),
                     &up = weights.at(layer.name + ".lora_up");
    if (layout == LoraLayout::kKohya) {
      tensors[layer.name + ".lora_down.weight"] = down;
      tensors[layer.name + ".lora_up.weight"] = up;
      tensors[layer.name + ".alpha"] = at::scalar_tensor(layer.alpha, at::kFloat);
    } else {
      const std::string path = layer.part + "." + layer.path;
      tensors[path + ".lora_A.weight"] = down;
      tensors[path + ".lora_B.weight"] = up * (layer.alpha / double(layer.rank));
    }
  }
  return tensors;
}

}  // namespace pangu::pipeline
