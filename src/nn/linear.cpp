#include "nn/linear.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/types.h>

#include <cmath>

#include "nn/f32_linear.h"
#include "nn/low_rank.h"
#include "nn/packed_weight.h"
#include "nn/recorded.h"
#include "nn/upcast_products.h"

namespace pangu::nn {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const Prologue& prologue, const Epilogue& epilogue) {
  const at::Tensor input = before_product(x, prologue);
  const at::Tensor product = is_upcast(input, weight, bias) ? upcast_linear(input, weight, bias)
                             : f32_linear_serves(input, weight, bias)
                                 ? f32_linear(input, weight, bias)
                                 : at::linear(input, weight, bias);
  return after_product(product, epilogue);
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
  if (change_) {
    const at::Tensor input = before_product(x, prologue);
    return after_product(nn::linear(input, weight, bias) + low_rank_linear(input, *change_),
                         epilogue);
  }
  return linear(x, weight, bias, prologue, epilogue);
}

void LinearImpl::pack(Packing packing) {
  if (!packed_) packed_ = PackedWeight::pack(weight, bias, activation_, packing);
}

bool LinearImpl::take_packed(const std::map<std::string, at::Tensor>& numbers, Packing packing) {
  packed_ = PackedWeight::of_numbers(numbers, weight.sizes(), weight.scalar_type(), bias,
                                     activation_, packing);
  return packed_ != nullptr;
}

void LinearImpl::pack_int8(const Int8Layer& layer) {
  if (!packed_) packed_ = PackedWeight::pack_int8(weight, bias, activation_, layer);
}

void LinearImpl::pack_compared(Packing packing, const Int8Layer& layer,
                               std::shared_ptr<Int8Error>& error) {
  if (packed_) return;
  packed_ = PackedWeight::pack(weight, bias, activation_, packing);
  if (!packed_) packed_ = PackedWeight::pack(weight, bias, activation_, Packing::kOwn);
  const auto bytes = PackedWeight::pack_int8(weight, bias, activation_, layer);
  if (!packed_ || !bytes) return;
  if (!error) error = std::make_shared<Int8Error>();
  packed_ = packed_->compared(bytes, error);
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
