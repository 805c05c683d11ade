// attention() by a kernel of our own (kernels/attention.h): bf16 on a CPU, without a gradient.
#pragma once
#include "nn/attention.h"

namespace pangu::nn {

// As attention(); undefined if no kernel of this processor takes these tensors and options. Who
// has to differentiate the result gets an undefined one too. It differs from the definition in bf16
// by what the definition in bf16 differs from that in f32, or less.
at::Tensor attention_by_kernel(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const AttentionOptions& options);

}  // namespace pangu::nn
