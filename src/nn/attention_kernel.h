// Computes attention by a kernel of our own (kernels/attention.h, attention_gradient.h): bf16 on a
// CPU.
#pragma once
#include "nn/attention.h"

namespace pangu::nn {

// Takes and returns what attention() does. The result is undefined if this processor has no kernel
// for these tensors and options, or none for the gradient that is needed; a bias has none. It
// differs from the definition in bf16 by no more than that differs from the definition in f32.
at::Tensor attention_by_kernel(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const AttentionOptions& options);

}  // namespace pangu::nn
