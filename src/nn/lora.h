// Low-rank changes of a network's weights (LoRA: Hu et al. 2021; convolutions and the Tucker form
// as in LyCORIS's LoCon). Reads no files: names and shapes come from io/lora/lora_names.h.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "core/watch.h"

namespace torch::nn {
class Module;
}

namespace pangu::nn {

// A change of one linear or convolutional module. Any floating type, on the CPU or elsewhere.
struct LoraWeights {
  std::string module_path;  // "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
  at::Tensor down;          // [rank,in] or [rank,in,kh,kw]
  at::Tensor up;            // [out,rank] or [out,rank,1,1]
  at::Tensor mid;    // [rank,rank,kh,kw], down is then [rank,in] or [rank,in,1,1]; or undefined
  double alpha = 0;  // the change is alpha / rank * up @ down
};

// The weights that a merge replaced, by name. As large as those modules; hold it only to go back.
using BaseWeights = std::map<std::string, at::Tensor>;

// weight += scale * alpha / rank * up @ down for every change, summed in f32 and rounded once to
// the weight's type however many changes a module gets in this call. Weights are replaced, never
// written, so that mapped ones stay whole; the biases stay. Returns what was replaced. Throws Error
// kBadInput naming module and shapes when a change does not fit, with the network unchanged;
// Stopped between two weights.
BaseWeights merge_lora(torch::nn::Module& network, const std::vector<LoraWeights>& changes,
                       double scale, const Watch& watch = {});

// Puts the replaced weights back, bit for bit. Subtracting the change again would not: in bf16 a
// sum rounds away up to 8 bits of the weight. Throws Error kBadInput when the network has no such
// weight.
void unmerge_lora(torch::nn::Module& network, const BaseWeights& base);

}  // namespace pangu::nn
