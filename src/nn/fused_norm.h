// Group norm together with the operations around it in a residual block: silu(norm(x + shift)). On
// a CPU, channels-last f32 or bf16 tensors take one pass over memory for the statistics and one for
// the result, forward and backward; everything else takes the plain ATen operators, with which
// tests compare the kernel. Why: ATen's channels-last group norm takes 10 to 20 times as long as
// the one for the plain layout when a group has few channels (3 of 96 / 32), and the small
// convolutions of a UNet take too little time to hide that.
#pragma once
#include <torch/nn/modules/normalization.h>

#include "nn/activation.h"

namespace pangu::nn {

// x: [B,C,H,W]; shift: [B,C], added to every pixel before the norm, or undefined. Returns [B,C,H,W]
// in x's layout. Differentiable in x, shift and the norm's weight and bias. Statistics are kept in
// f32 or better.
at::Tensor group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after,
                      const at::Tensor& shift = {});

// The same of f32 tensors, rounded to bf16, as a product in bf16 takes it. Not differentiable.
at::Tensor group_norm_to_bf16(const at::Tensor& x, const torch::nn::GroupNorm& norm,
                              Activation after, const at::Tensor& shift = {});

// The norm alone as an affine form of the channels: [2,B,C] f32, a and s with norm(x + shift) =
// a x + s. Undefined if x or the norm is not of a form that the kernel takes, `after` included. Not
// differentiable.
at::Tensor group_norm_affine(const at::Tensor& x, const torch::nn::GroupNorm& norm,
                             Activation after, const at::Tensor& shift = {});

// The definition in plain ATen operators, for any device, layout and type.
at::Tensor plain_group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after,
                            const at::Tensor& shift = {});

}  // namespace pangu::nn
