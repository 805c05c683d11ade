#include "nn/activation.h"

#include <ATen/ATen.h>

#include "nn/fused_geglu.h"

namespace pangu::nn {
namespace {

constexpr double kQuickGeluSlope = 1.702;  // Hendrycks and Gimpel 2016, section 2

}  // namespace

at::Tensor plain_activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kQuickGelu:
      return x * at::sigmoid(x * kQuickGeluSlope);
    case Activation::kGeglu:
      return plain_geglu(x);
  }
  return x;
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  return activation == Activation::kGeglu ? geglu(x) : plain_activate(x, activation);
}

}  // namespace pangu::nn
