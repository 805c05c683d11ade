// Which layers of a network compute in int8, and how that was found out. Names of layers are those
// of modules ("down_blocks.0.resnets.0.conv1").
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>

#include "tensors/safetensors.h"

namespace torch::nn {
class Module;
}

namespace pangu::nn {

// A weight in int8: codes in the sizes of the weight, a convolution's channels-last, times the
// factor of their output. Undefined: they are to be rounded from the weight.
struct Int8Layer {
  at::Tensor codes;    // i8 [O,I] or [O,I,kh,kw]
  at::Tensor factors;  // f32 [O]
};

using Int8Plan = std::map<std::string, Int8Layer>;

// The layers that compute in int8 where nothing was measured: those that there is a kernel for and
// whose cost counts. The first and the last layers of a network have few inputs or outputs and
// stay, as do embeddings of time and sizes, which see one row a picture, and what a cross-attention
// makes of the prompt once a picture.
Int8Plan default_int8_plan(const torch::nn::Module& network);

// How far a layer in int8 was from the same in bf16, over all of its calls.
struct Int8Error {
  double differences = 0, results = 0;  // sums of squares
  double relative() const;              // the length of the difference by that of the results
};

using Int8Errors = std::map<std::string, std::shared_ptr<Int8Error>>;

// A plan as tensors "LAYER.weight" and "LAYER.weight_scale", and back. plan_from_tensors throws
// kBadInput naming a tensor that the network has no layer for, or that has not the layer's sizes.
tensors::TensorMap plan_tensors(const Int8Plan& plan);
Int8Plan plan_from_tensors(const tensors::TensorMap& tensors, const torch::nn::Module& network);

// Rounds a weight [O,I] or [O,I,kh,kw] of any floating type as a layer without codes is rounded.
Int8Layer int8_layer_of(const at::Tensor& weight);

}  // namespace pangu::nn
