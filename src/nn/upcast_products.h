// Products of bf16 numbers in training, on processors that do not multiply bf16. Numbers stay bf16
// in memory; the factors of one product are widened to f32 for as long as it is computed, forward
// and backward. libtorch emulates such products one instruction at a time, or by loops without
// vectors where there is no AVX-512 either.
#pragma once
#include <ATen/core/Tensor.h>

#include "nn/conv_shape.h"

namespace pangu::nn {

// Whether tensors are bf16 on a CPU that does not multiply it.
bool is_upcast(const at::Tensor& x);
bool is_upcast(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// Returns x weight^T + bias as [...,O] in bf16, rounded once. x: [...,I]; weight: [O,I]; bias: [O]
// or undefined. Differentiable in everything; a factor is kept for the backward pass only if the
// gradient of the other is wanted.
// REQUIRES: bf16 numbers.
at::Tensor upcast_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// The same for a convolution: x: [B,I,H,W]; weight: [O,I,kh,kw]; returns [B,O,H',W'].
at::Tensor upcast_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         const ConvShape& shape);

}  // namespace pangu::nn
