// The file of a LoRA that was trained: names of tensors and metadata as other programs read them.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "nn/low_rank.h"

namespace pangu::pipeline {

enum class LoraLayout {
  // kohya's sd-scripts: lora_unet_PATH.lora_down.weight, .lora_up.weight, .alpha, where '_' stands
  // for every '.' of the path; lora_te_, lora_te1_ and lora_te2_ of text encoders.
  kKohya,
  // diffusers and PEFT: unet.PATH.lora_A.weight, .lora_B.weight; text_encoder., text_encoder_2. The
  // factor alpha / rank is
  // multiplied into lora_B, because old versions take it for 1.
  kDiffusers,
};

// "kohya", "diffusers"; error kBadInput for others.
LoraLayout lora_layout_from(const std::string& name);

// The tensors of the file. weights: f32, by the names of LowRankChanges' parameters.
std::map<std::string, at::Tensor> lora_tensors(const std::vector<nn::LowRankChanges::Layer>& layers,
                                               const std::map<std::string, at::Tensor>& weights,
                                               LoraLayout layout);

}  // namespace pangu::pipeline
