// GEGLU (Shazeer 2020), a * gelu(g) with exact gelu, in one pass each way on a CPU in f32 or bf16;
// plain ATen operators elsewhere, which are also the test's judge.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::nn {

// x: [...,2I], the halves a and g side by side. Returns [...,I]. Differentiable.
at::Tensor geglu(const at::Tensor& x);
at::Tensor plain_geglu(const at::Tensor& x);

}  // namespace pangu::nn
