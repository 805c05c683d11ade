// Group norm with what stands around it in a residual block: silu((x + shift) normalised). One pass
// over memory each for statistics and result, forward and backward, on a CPU with channels-last f32
// or bf16; everywhere else the plain ATen operators, which are also the test's judge. Why: ATen's
// channels-last group norm takes 10 to 20 times the time of the same in plain layout when a group
// has few channels (3 of 96 / 32), and a UNet's small convolutions leave nothing to hide that
// behind.
#pragma once
#include <torch/nn/modules/normalization.h>

#include "nn/activation.h"

namespace pangu::nn {

// x: [B,C,H,W]; shift: [B,C], added to every pixel before the norm, or undefined. Returns [B,C,H,W]
// in x's layout. Differentiable in x, shift and the norm's weight and bias. Statistics are kept in
// f32 or better.
at::Tensor group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after,
                      const at::Tensor& shift = {});

// The same in plain ATen operators, for any device, layout and type.
at::Tensor plain_group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after,
                            const at::Tensor& shift = {});

}  // namespace pangu::nn
