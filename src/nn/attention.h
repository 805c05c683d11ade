// Attention: the only one of our networks. Who computes it, a kernel of ours or ATen's, is decided
// here. Legend: B batch, N queries, L keys, h heads, d head width.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::nn {

struct AttentionOptions {
  int64_t heads = 1;
  at::Tensor bias = {};  // [B,1,1,L], added to the scores; or undefined
  bool causal = false;   // a query sees the keys up to its own position
  bool upcast = false;   // scores and mix in f32, whatever the type
  // Few scores of bf16 on a CPU are written out, because the fused kernel's gradient is slow there.
  // For networks that are trained.
  bool writes_out_few = false;
};

// softmax(q k^T / sqrt(d) + bias) v for each head. q: [B,N,h*d], k v: [B,L,h*d], any strides.
// Returns [B,N,h*d]. Differentiable in everything.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options);

// The definition, which holds all scores at once: what kernels are compared with.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionOptions& options);

}  // namespace pangu::nn
