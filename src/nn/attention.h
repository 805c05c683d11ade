// The one attention of our networks. It decides whether a kernel of our own or ATen computes it.
// Legend: B batch, N queries, L keys, h heads, d head width.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::nn {

struct AttentionOptions {
  int64_t heads = 1;
  at::Tensor bias = {};  // [B,1,1,L], added to the scores; or undefined
  bool causal = false;   // a query sees the keys up to its own position
  bool upcast = false;   // scores and weighted sum in f32, whatever the type
  // For networks that are trained: a small matrix of scores in bf16 on a CPU is held as a whole,
  // because the gradient of the fused kernel is slow there.
  bool writes_out_few = false;
};

// Returns softmax(q k^T / sqrt(d) + bias) v for each head. q: [B,N,h*d], k v: [B,L,h*d], any
// strides. The result is [B,N,h*d]. Differentiable in everything.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options);

// The definition, which holds all scores at once; tests compare the kernels with it.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionOptions& options);

}  // namespace pangu::nn
