// The activations of the networks, one name and one definition each.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::nn {

enum class Activation {
  kNone,
  kRelu,
  kSilu,
  kGelu,       // x Phi(x), exact
  kQuickGelu,  // x sigmoid(1.702 x), Hendrycks and Gimpel 2016
  kGeglu,      // a gelu(g) of x = (a, g): halves the last dimension; Shazeer 2020
};

// Applies an activation. Differentiable. GEGLU runs in our own kernel where that fits
// (nn/fused_geglu.h).
at::Tensor activate(const at::Tensor& x, Activation activation);

// The same in plain ATen operators, with which tests compare the kernels.
at::Tensor plain_activate(const at::Tensor& x, Activation activation);

}  // namespace pangu::nn
