#include "nn/linear.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/types.h>

#include <cmath>

#include "nn/packed_weight.h"
#include "nn/recorded.h"

namespace pangu::nn {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const Prologue& prologue, const Epilogue& epilogue) {
  return after_product(at::linear(before_product(x, prologue), weight, bias), epilogue);
}

at::Tensor plain_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const Prologue& prologue, const Epilogue& epilogue) {
  at::Tensor y = at::matmul(plain_before_product(x, prologue), weight.t());
  if (bias.defined()) y = y + bias;
  return plain_after_product(y, epilogue);
}

LinearImpl::LinearImpl(int64_t in, int64_t out, bool has_bias) {
  weight = register_parameter("weight", torch::empty({out, in}));
  if (has_bias) bias = register_parameter("bias", torch::empty({out}));
  init_product_weights(weight, bias);
}

at::Tensor LinearImpl::forward(const at::Tensor& x, const Prologue& prologue,
                               const Epilogue& epilogue) const {
  const Recorded call("pangu::linear");
  if (packed_) return packed_->linear(x, prologue, epilogue);
  return linear(x, weight, bias, prologue, epilogue);
}

void LinearImpl::pack(Packing packing) {
  if (!packed_) packed_ = PackedWeight::pack(weight, bias, activation_, packing);
}

void init_product_weights(at::Tensor& weight, at::Tensor& bias) {
  // The initialisation of He et al. 2015 with a slope of sqrt(5) gives the bound that the header
  // names.
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (!bias.defined()) return;
  const auto inputs = static_cast<double>(weight.numel() / weight.size(0));
  const double bound = 1.0 / std::sqrt(inputs);
  torch::nn::init::uniform_(bias, -bound, bound);
}

}  // namespace pangu::nn
