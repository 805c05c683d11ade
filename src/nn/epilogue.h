// What stands around a product (nn/linear.h, nn/conv.h) and may be computed together with it: a
// norm and an activation of its input (prologue), an activation and a sum of its output (epilogue).
// They are values with one definition each: a kernel that fuses them with its product takes the
// same values, and tests compare it with the plain definition.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/modules/normalization.h>

#include "nn/activation.h"

namespace pangu::nn {

// Computes activation(norm(x + shift)) of the product's input x, enlarged if `doubles` says so. At
// most one of the norms is set.
struct Prologue {
  torch::nn::GroupNorm group_norm{nullptr};  // of x [B,C,H,W]
  torch::nn::LayerNorm layer_norm{nullptr};  // of x [...,C]
  Activation activation = Activation::kNone;
  at::Tensor shift = {};  // [B,C], added to every pixel of x before the group norm; or undefined
  bool doubles = false;   // every pixel of x [B,C,H,W] becomes four
};

// Computes residual + activation(y) of the product's output y.
struct Epilogue {
  Activation activation = Activation::kNone;
  at::Tensor residual = {};  // of the result's shape, or undefined
};

// Computes a prologue, or an epilogue, by our own kernels where they fit. Differentiable in
// everything.
at::Tensor before_product(const at::Tensor& x, const Prologue& prologue);
at::Tensor after_product(const at::Tensor& y, const Epilogue& epilogue);

// Compute the same by plain ATen operators.
at::Tensor plain_before_product(const at::Tensor& x, const Prologue& prologue);
at::Tensor plain_after_product(const at::Tensor& y, const Epilogue& epilogue);

}  // namespace pangu::nn
