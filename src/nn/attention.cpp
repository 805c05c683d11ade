#include "nn/attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <optional>

#include "nn/attention_kernel.h"
#include "nn/recorded.h"
#include "nn/upcast_products.h"

namespace pangu::nn {
namespace {

// A matrix of scores up to this size (queries x keys) is cheaper held as a whole than computed by
// the flash kernel, whose bf16 backward on a CPU is 5 to 8 times slower at 16 to 256 tokens
// (measured on Zen 4, one thread).
constexpr int64_t kMaxPlainScores = 512 * 512;

// [B,N,h*d] -> [B,h,N,d], a view
at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, -1}).transpose(1, 2);
}

// [B,N,h*d] -> [B*h,N,d], a copy
at::Tensor heads_to_batch(const at::Tensor& x, int64_t heads) {
  return split_heads(x, heads).flatten(0, 1);
}

// Computes by ATen's fused kernel, which never holds the scores: best for long sequences, f32 and
// GPUs.
at::Tensor fused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionOptions& options) {
  std::optional<at::Tensor> mask;
  if (options.bias.defined()) mask = options.bias;
  const at::Tensor mixed = at::scaled_dot_product_attention(
      split_heads(q, options.heads), split_heads(k, options.heads), split_heads(v, options.heads),
      mask, /*dropout_p=*/0.0, options.causal);
  return mixed.transpose(1, 2).flatten(2);
}

AttentionOptions in_f32(AttentionOptions options) {
  if (options.bias.defined()) options.bias = options.bias.to(at::kFloat);
  return options;
}

at::Tensor upcast_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionOptions& options) {
  return attention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), in_f32(options))
      .to(q.scalar_type());
}

}  // namespace

at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionOptions& options) {
  const auto dtype = q.scalar_type();
  if (options.upcast && dtype != at::kFloat) {
    AttentionOptions wide = in_f32(options);
    wide.upcast = false;
    return plain_attention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), wide).to(dtype);
  }
  const int64_t batch = q.size(0), heads = options.heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2) / heads));
  const at::Tensor queries = heads_to_batch(q, heads);
  const at::Tensor keys = heads_to_batch(k, heads).transpose(1, 2);
  at::Tensor scores;  // [B*h,N,L]
  if (options.bias.defined()) {
    const at::Tensor per_head = options.bias.expand({batch, heads, 1, k.size(1)}).flatten(0, 1);
    scores = at::baddbmm(per_head, queries, keys, 1, scale);
  } else {
    scores = at::baddbmm(at::zeros({}, q.options()), queries, keys, 0, scale);
  }
  if (options.causal) {
    const at::Tensor later =
        at::ones(scores.sizes().slice(1), at::TensorOptions(at::kBool).device(q.device())).triu(1);
    scores = scores.masked_fill(later, -std::numeric_limits<double>::infinity());
  }
  const at::Tensor mixed = at::bmm(scores.softmax(-1), heads_to_batch(v, heads));  // [B*h,N,d]
  return mixed.unflatten(0, {batch, heads}).transpose(1, 2).flatten(2);
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options) {
  const Recorded call("pangu::attention");
  const auto dtype = q.scalar_type();
  if (options.upcast && dtype != at::kFloat) return upcast_attention(q, k, v, options);
  const at::Tensor by_kernel = attention_by_kernel(q, k, v, options);
  if (by_kernel.defined()) return by_kernel;
  if (is_upcast(q)) return upcast_attention(q, k, v, options);
  const bool few = q.size(1) * k.size(1) <= kMaxPlainScores;
  const bool both = options.causal && options.bias.defined();  // ATen takes one of them
  const bool writes_out = options.writes_out_few && few && q.is_cpu() && dtype != at::kFloat;
  return both || writes_out ? plain_attention(q, k, v, options) : fused_attention(q, k, v, options);
}

}  // namespace pangu::nn
