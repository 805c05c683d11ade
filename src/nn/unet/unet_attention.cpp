// Attention, GEGLU and transformer blocks of the UNet. Tokens are views of channels-last pixels,
// never copies.
#include "nn/unet/unet_attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "nn/fused_geglu.h"
#include "nn/fused_norm.h"

namespace pangu::nn {
namespace {

// Epsilon of the group norm in front of a spatial transformer (diffusers Transformer2DModel);
// others use norm_eps.
constexpr double kTransformerNormEps = 1e-6;
constexpr int64_t kFeedForwardFactor = 4;

torch::nn::Linear linear(int64_t in, int64_t out, bool bias = true) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

torch::nn::LayerNorm layer_norm(int64_t channels) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({channels}));
}

// [B,N,h*d] -> [B,h,N,d], a view
at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, -1}).transpose(1, 2);
}

// Scores up to this size (queries x keys) are cheaper written out than through the flash kernel,
// whose bf16 backward on a CPU is 5 to 8 times slower at 16 to 256 tokens (measured on Zen 4, one
// thread).
constexpr int64_t kMaxPlainScores = 512 * 512;

// x: [B,N,h*d] -> [B*h,N,d], a copy
at::Tensor heads_to_batch(const at::Tensor& x, int64_t heads) {
  return split_heads(x, heads).flatten(0, 1);
}

// softmax(q k^T * scale + bias) v, written out. q: [B,N,C], k v: [B,L,C], bias: [B,1,1,L] or
// undefined -> [B,N,C]
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           int64_t heads, const at::Tensor& bias) {
  const int64_t batch = q.size(0);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2) / heads));
  const at::Tensor queries = heads_to_batch(q, heads);
  const at::Tensor keys = heads_to_batch(k, heads).transpose(1, 2);
  at::Tensor scores;  // [B*h,N,L]
  if (bias.defined()) {
    const at::Tensor per_head = bias.expand({batch, heads, 1, k.size(1)}).flatten(0, 1);
    scores = at::baddbmm(per_head, queries, keys, 1, scale);
  } else {
    scores = at::baddbmm(at::zeros({}, q.options()), queries, keys, 0, scale);
  }
  const at::Tensor mixed = at::bmm(scores.softmax(-1), heads_to_batch(v, heads));  // [B*h,N,d]
  return mixed.unflatten(0, {batch, heads}).transpose(1, 2).flatten(2);
}

// The same through the fused kernel, which never holds the scores: right for long sequences, f32
// and GPUs.
at::Tensor fused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           int64_t heads, const at::Tensor& bias) {
  std::optional<at::Tensor> mask;
  if (bias.defined()) mask = bias;
  const at::Tensor mixed = at::scaled_dot_product_attention(
      split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), mask);
  return mixed.transpose(1, 2).flatten(2);
}

PixelLinear pixel_linear(bool is_linear, int64_t channels) {
  PixelLinear layer;
  if (is_linear) {
    layer.linear = linear(channels, channels);
  } else {
    layer.conv = torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, 1));
  }
  return layer;
}

}  // namespace

at::Tensor to_tokens(const at::Tensor& x) { return x.permute({0, 2, 3, 1}).flatten(1, 2); }

at::Tensor to_pixels(const at::Tensor& tokens, int64_t height, int64_t width) {
  return tokens.unflatten(1, {height, width}).permute({0, 3, 1, 2});
}

AttentionImpl::AttentionImpl(const AttentionShape& shape)
    : heads_(shape.heads), upcast_(shape.upcast) {
  to_q_ = register_module("to_q", linear(shape.query_dim, shape.query_dim, false));
  to_k_ = register_module("to_k", linear(shape.context_dim, shape.query_dim, false));
  to_v_ = register_module("to_v", linear(shape.context_dim, shape.query_dim, false));
  to_out_ = linear(shape.query_dim, shape.query_dim);
  register_module("to_out", torch::nn::ModuleList(to_out_));
}

at::Tensor AttentionImpl::forward(const at::Tensor& x, const at::Tensor& context,
                                  const at::Tensor& bias) {
  const at::Tensor& source = context.defined() ? context : x;
  at::Tensor q = to_q_(x);
  at::Tensor k = to_k_(source);
  at::Tensor v = to_v_(source);
  const auto dtype = q.scalar_type();
  if (upcast_ && dtype != at::kFloat) {
    const at::Tensor wide_bias = bias.defined() ? bias.to(at::kFloat) : bias;
    const at::Tensor mixed =
        fused_attention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), heads_, wide_bias);
    return to_out_(mixed.to(dtype));
  }
  const bool plain = q.is_cpu() && dtype != at::kFloat && q.size(1) * k.size(1) <= kMaxPlainScores;
  return to_out_(plain ? plain_attention(q, k, v, heads_, bias)
                       : fused_attention(q, k, v, heads_, bias));
}

FeedForwardImpl::FeedForwardImpl(int64_t channels) {
  const int64_t inner = kFeedForwardFactor * channels;
  proj_ = linear(channels, 2 * inner);
  out_ = linear(inner, channels);
  // diffusers: net.0.proj, net.1 is a dropout without parameters, net.2.
  auto gate = std::make_shared<torch::nn::Module>("GEGLU");
  gate->register_module("proj", proj_);
  torch::nn::ModuleList net;
  net->push_back(gate);
  net->push_back(std::make_shared<torch::nn::Module>("Dropout"));
  net->push_back(out_);
  register_module("net", net);
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x) { return out_(geglu(proj_(x))); }

BasicTransformerBlockImpl::BasicTransformerBlockImpl(const TransformerShape& shape)
    : only_cross_attention_(shape.only_cross_attention) {
  const int64_t channels = shape.channels;
  const int64_t first_dim = only_cross_attention_ ? shape.context_dim : channels;
  norm1_ = register_module("norm1", layer_norm(channels));
  attn1_ = register_module(
      "attn1", Attention(AttentionShape{channels, first_dim, shape.heads, shape.upcast}));
  norm2_ = register_module("norm2", layer_norm(channels));
  attn2_ = register_module(
      "attn2", Attention(AttentionShape{channels, shape.context_dim, shape.heads, shape.upcast}));
  norm3_ = register_module("norm3", layer_norm(channels));
  ff_ = register_module("ff", FeedForward(channels));
}

at::Tensor BasicTransformerBlockImpl::forward(at::Tensor x, const UNetConditions& conditions,
                                              const Scope& scope) {
  const at::Tensor none;
  const at::Tensor& first = only_cross_attention_ ? conditions.context : none;
  // diffusers gives the first attention no mask, even when it looks at the context.
  x = x + scope.in("attn1").out(attn1_(norm1_(x), first, none));
  x = x + scope.in("attn2").out(attn2_(norm2_(x), conditions.context, conditions.context_bias));
  x = x + scope.in("ff").out(ff_(norm3_(x)));
  return scope.out(x);
}

at::Tensor PixelLinear::forward(const at::Tensor& tokens) const {
  if (linear) return at::linear(tokens, linear->weight, linear->bias);
  return at::linear(tokens, conv->weight.flatten(1), conv->bias);
}

Transformer2DModelImpl::Transformer2DModelImpl(const TransformerShape& shape) {
  norm_ = register_module(
      "norm",
      torch::nn::GroupNorm(
          torch::nn::GroupNormOptions(shape.norm_groups, shape.channels).eps(kTransformerNormEps)));
  proj_in_ = pixel_linear(shape.linear_projection, shape.channels);
  torch::nn::ModuleList blocks;
  for (int64_t i = 0; i < shape.depth; ++i) {
    blocks_.emplace_back(shape);
    blocks->push_back(blocks_.back());
  }
  proj_out_ = pixel_linear(shape.linear_projection, shape.channels);
  const auto add = [this](const char* name, const PixelLinear& layer) {
    if (layer.linear) {
      register_module(name, layer.linear);
    } else {
      register_module(name, layer.conv);
    }
  };
  add("proj_in", proj_in_);
  register_module("transformer_blocks", blocks);
  add("proj_out", proj_out_);
}

at::Tensor Transformer2DModelImpl::forward(const at::Tensor& x, const UNetConditions& conditions,
                                           const Scope& scope) {
  at::Tensor tokens = proj_in_.forward(to_tokens(group_norm(x, norm_, AfterNorm::kNothing)));
  for (size_t i = 0; i < blocks_.size(); ++i) {
    tokens = blocks_[i]->forward(tokens, conditions, scope.in("transformer_blocks", i));
  }
  tokens = proj_out_.forward(tokens);
  return scope.out(to_pixels(tokens, x.size(2), x.size(3)) + x);
}

}  // namespace pangu::nn
