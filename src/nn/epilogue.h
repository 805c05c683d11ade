// What stands around a product (nn/linear.h, nn/conv.h) and may be computed together with it: a
// norm and an activation of its input (prologue), an activation and a sum of its output (epilogue).
// Values with one definition each: a kernel that fuses them with its product takes them as they
// are, and is compared with the plain definition.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/modules/normalization.h>

#include "nn/activation.h"

namespace pangu::nn {

// x -> activation(norm(x + shift)). At most one of the norms is set.
struct Prologue {
  torch::nn::GroupNorm group_norm{nullptr};  // of x [B,C,H,W]
  torch::nn::LayerNorm layer_norm{nullptr};  // of x [...,C]
  Activation activation = Activation::kNone;
  at::Tensor shift = {};  // [B,C], added to every pixel of x before the group norm; or undefined
};

// y -> residual + activation(y)
struct Epilogue {
  Activation activation = Activation::kNone;
  at::Tensor residual = {};  // of the result's shape, or undefined
};

// By our own kernels where they fit. Differentiable in everything.
at::Tensor before_product(const at::Tensor& x, const Prologue& prologue);
at::Tensor after_product(const at::Tensor& y, const Epilogue& epilogue);

// By plain ATen operators.
at::Tensor plain_before_product(const at::Tensor& x, const Prologue& prologue);
at::Tensor plain_after_product(const at::Tensor& y, const Epilogue& epilogue);

}  // namespace pangu::nn
