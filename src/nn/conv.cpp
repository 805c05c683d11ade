#include "nn/conv.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include "nn/linear.h"
#include "nn/low_rank.h"
#include "nn/packed_weight.h"
#include "nn/recorded.h"
#include "nn/upcast_products.h"

namespace pangu::nn {

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const ConvShape& shape, const Prologue& prologue, const Epilogue& epilogue) {
  const at::Tensor input = before_product(x, prologue);
  const at::Tensor y = is_upcast(input, weight, bias)
                           ? upcast_conv2d(input, weight, bias, shape)
                           : at::conv2d(input, weight, bias, {shape.stride, shape.stride},
                                        {shape.padding, shape.padding});
  return after_product(y, epilogue);
}

at::Tensor plain_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const ConvShape& shape, const Prologue& prologue,
                        const Epilogue& epilogue) {
  const int64_t high = weight.size(2), wide = weight.size(3);
  const at::Tensor input = plain_before_product(x, prologue);
  const at::Tensor patches = at::im2col(input, {high, wide}, {1, 1}, {shape.padding, shape.padding},
                                        {shape.stride, shape.stride});  // [B,I*kh*kw,H'*W']
  at::Tensor y = at::matmul(weight.flatten(1), patches);                // [B,O,H'*W']
  if (bias.defined()) y = y + bias.unsqueeze(1);
  const int64_t height = (input.size(2) + 2 * shape.padding - high) / shape.stride + 1;
  return plain_after_product(y.unflatten(2, {height, -1}), epilogue);
}

Conv2dImpl::Conv2dImpl(int64_t in, int64_t out, int64_t kernel, const ConvShape& shape,
                       bool has_bias)
    : shape_(shape) {
  weight = register_parameter("weight", torch::empty({out, in, kernel, kernel}));
  if (has_bias) bias = register_parameter("bias", torch::empty({out}));
  init_product_weights(weight, bias);
}

at::Tensor Conv2dImpl::forward(const at::Tensor& x, const Prologue& prologue,
                               const Epilogue& epilogue) const {
  const Recorded call("pangu::conv2d");
  if (packed_) return packed_->conv2d(x, shape_, prologue, epilogue);
  if (change_) {
    const at::Tensor input = before_product(x, prologue);
    const at::Tensor change = low_rank_conv2d(input, *change_, shape_);
    return after_product(nn::conv2d(input, weight, bias, shape_) + change, epilogue);
  }
  return conv2d(x, weight, bias, shape_, prologue, epilogue);
}

at::Tensor Conv2dImpl::on_tokens(const at::Tensor& tokens) const {
  const Recorded call("pangu::linear");
  if (packed_) return packed_->linear(tokens, {}, {});
  const at::Tensor product = linear(tokens, weight.flatten(1), bias);
  return change_ ? product + low_rank_linear(tokens, *change_) : product;
}

void Conv2dImpl::pack(Packing packing) {
  if (!packed_) packed_ = PackedWeight::pack(weight, bias, Activation::kNone, packing, shape_);
}

bool Conv2dImpl::take_packed(const std::map<std::string, at::Tensor>& numbers, Packing packing) {
  packed_ = PackedWeight::of_numbers(numbers, weight.sizes(), weight.scalar_type(), bias,
                                     Activation::kNone, packing, shape_);
  return packed_ != nullptr;
}

Conv2d enlarging_conv2d(int64_t channels) {
  return Conv2d(channels, channels, 3, ConvShape{.padding = 1, .may_double = true});
}

void Conv2dImpl::pack_int8(const Int8Layer& layer) {
  if (!packed_) packed_ = PackedWeight::pack_int8(weight, bias, Activation::kNone, layer);
}

void Conv2dImpl::pack_compared(Packing packing, const Int8Layer& layer,
                               std::shared_ptr<Int8Error>& error) {
  if (packed_) return;
  packed_ = PackedWeight::pack(weight, bias, Activation::kNone, packing, shape_);
  if (!packed_)
    packed_ = PackedWeight::pack(weight, bias, Activation::kNone, Packing::kOwn, shape_);
  const auto bytes = PackedWeight::pack_int8(weight, bias, Activation::kNone, layer);
  if (!packed_ || !bytes) return;
  if (!error) error = std::make_shared<Int8Error>();
  packed_ = packed_->compared(bytes, error);
}

Conv2d same_conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool has_bias) {
  return Conv2d(in, out, kernel, ConvShape{stride, kernel / 2}, has_bias);
}

}  // namespace pangu::nn
