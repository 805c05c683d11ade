// Attention, GEGLU and transformer blocks of the UNet. Tokens are views of channels-last pixels,
// never copies.
#include "nn/unet/unet_attention.h"

#include <ATen/ATen.h>

#include "nn/attention.h"
#include "nn/recompute.h"

namespace pangu::nn {
namespace {

// Epsilon of the group norm in front of a spatial transformer (diffusers Transformer2DModel);
// others use norm_eps.
constexpr double kTransformerNormEps = 1e-6;
constexpr int64_t kFeedForwardFactor = 4;

torch::nn::LayerNorm layer_norm(int64_t channels) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({channels}));
}

PixelLinear pixel_linear(bool is_linear, int64_t channels) {
  PixelLinear layer;
  if (is_linear) {
    layer.linear = Linear(channels, channels);
  } else {
    layer.conv = Conv2d(channels, channels, 1);
  }
  return layer;
}

}  // namespace

at::Tensor to_tokens(const at::Tensor& x) { return x.permute({0, 2, 3, 1}).flatten(1, 2); }

at::Tensor to_pixels(const at::Tensor& tokens, int64_t height, int64_t width) {
  return tokens.unflatten(1, {height, width}).permute({0, 3, 1, 2});
}

AttentionImpl::AttentionImpl(const AttentionShape& shape)
    : width_(shape.query_dim), heads_(shape.heads), upcast_(shape.upcast) {
  to_q_ = register_module("to_q", Linear(shape.query_dim, shape.query_dim, false));
  to_k_ = register_module("to_k", Linear(shape.context_dim, shape.query_dim, false));
  to_v_ = register_module("to_v", Linear(shape.context_dim, shape.query_dim, false));
  to_out_ = Linear(shape.query_dim, shape.query_dim);
  register_module("to_out", torch::nn::ModuleList(to_out_));
}

KeysValues AttentionImpl::keys_values(const at::Tensor& context) {
  return {to_k_(context), to_v_(context)};
}

at::Tensor AttentionImpl::forward(const at::Tensor& x, const Prologue& prologue) {
  const at::Tensor tokens = before_product(x, prologue);
  return attend(tokens, keys_values(tokens), {});
}

at::Tensor AttentionImpl::forward(const at::Tensor& x, const Prologue& prologue,
                                  const KeysValues& of_context, const at::Tensor& bias) {
  return attend(before_product(x, prologue), of_context, bias);
}

at::Tensor AttentionImpl::attend(const at::Tensor& queries, const KeysValues& source,
                                 const at::Tensor& bias) {
  AttentionOptions options;
  options.heads = heads_;
  options.bias = bias;
  options.upcast = upcast_;
  options.writes_out_few = true;
  return to_out_(attention(to_q_(queries), source.keys, source.values, options));
}

FeedForwardImpl::FeedForwardImpl(int64_t channels) {
  const int64_t inner = kFeedForwardFactor * channels;
  proj_ = Linear(channels, 2 * inner);
  proj_->set_gated();
  out_ = Linear(inner, channels);
  // diffusers: net.0.proj, net.1 is a dropout without parameters, net.2.
  auto gate = std::make_shared<torch::nn::Module>("GEGLU");
  gate->register_module("proj", proj_);
  torch::nn::ModuleList net;
  net->push_back(gate);
  net->push_back(std::make_shared<torch::nn::Module>("Dropout"));
  net->push_back(out_);
  register_module("net", net);
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x, const Prologue& prologue) {
  return out_(proj_->forward(x, prologue, {.activation = Activation::kGeglu}));
}

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

std::vector<Attention> BasicTransformerBlockImpl::cross_attentions() const {
  if (only_cross_attention_) return {attn1_, attn2_};
  return {attn2_};
}

KeysValues BasicTransformerBlockImpl::of_context(const UNetConditions& conditions, size_t index) {
  if (!conditions.keys_values.empty()) return conditions.keys_values.at(first_number_ + index);
  return cross_attentions()[index]->keys_values(conditions.context);
}

at::Tensor BasicTransformerBlockImpl::forward(at::Tensor x, const UNetConditions& conditions,
                                              const Scope& scope) {
  const Prologue norm1{.layer_norm = norm1_}, norm2{.layer_norm = norm2_},
      norm3{.layer_norm = norm3_};
  const at::Tensor none;
  // diffusers gives the first attention no mask, even when it looks at the context.
  x = x + scope.in("attn1").out(only_cross_attention_
                                    ? attn1_->forward(x, norm1, of_context(conditions, 0), none)
                                    : attn1_->forward(x, norm1));
  const size_t second = only_cross_attention_ ? 1 : 0;
  x = x + scope.in("attn2").out(
              attn2_->forward(x, norm2, of_context(conditions, second), conditions.context_bias));
  x = x + scope.in("ff").out(ff_(x, norm3));
  return scope.out(x);
}

at::Tensor PixelLinear::forward(const at::Tensor& tokens) const {
  if (linear) return linear->forward(tokens);
  return conv->on_tokens(tokens);
}

namespace {

at::Tensor recomputed_block(const BasicTransformerBlock& block, const at::Tensor& tokens,
                            const UNetConditions& conditions) {
  const auto part = [block, conditions](const std::vector<at::Tensor>& inputs) {
    UNetConditions again = conditions;
    again.context = inputs[1];
    return BasicTransformerBlock(block)->forward(inputs[0], again, Scope(nullptr));
  };
  return recomputed(part, {tokens, conditions.context});
}

}  // namespace

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
  at::Tensor tokens = proj_in_.forward(to_tokens(before_product(x, {.group_norm = norm_})));
  for (size_t i = 0; i < blocks_.size(); ++i) {
    tokens = conditions.recomputes
                 ? recomputed_block(blocks_[i], tokens, conditions)
                 : blocks_[i]->forward(tokens, conditions, scope.in("transformer_blocks", i));
  }
  tokens = proj_out_.forward(tokens);
  return scope.out(to_pixels(tokens, x.size(2), x.size(3)) + x);
}

}  // namespace pangu::nn
