// GEGLU (Shazeer 2020), a * gelu(g) with exact gelu. On a CPU, contiguous f32 or bf16 tensors take
// one pass forward and one backward; others take the plain ATen operators, with which tests compare
// the kernel.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::nn {

// x: [...,2I], the halves a and g side by side in the last dimension. Returns [...,I].
// Differentiable. plain_geglu is the definition.
at::Tensor geglu(const at::Tensor& x);
at::Tensor plain_geglu(const at::Tensor& x);

}  // namespace pangu::nn
