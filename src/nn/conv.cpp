#include "nn/conv.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include "nn/linear.h"
#include "nn/packed_weight.h"
#include "nn/recorded.h"

namespace pangu::nn {

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const ConvShape& shape, const Prologue& prologue, const Epilogue& epilogue) {
  const at::Tensor y = at::conv2d(before_product(x, prologue), weight, bias,
                                  {shape.stride, shape.stride}, {shape.padding, shape.padding});
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
  return conv2d(x, weight, bias, shape_, prologue, epilogue);
}

at::Tensor Conv2dImpl::on_tokens(const at::Tensor& tokens) const {
  const Recorded call("pangu::linear");
  if (packed_) return packed_->linear(tokens, {}, {});
  return linear(tokens, weight.flatten(1), bias);
}

void Conv2dImpl::pack(Packing packing) {
  if (!packed_) packed_ = PackedWeight::pack(weight, bias, Activation::kNone, packing);
}

Conv2d same_conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool has_bias) {
  return Conv2d(in, out, kernel, ConvShape{stride, kernel / 2}, has_bias);
}

}  // namespace pangu::nn
