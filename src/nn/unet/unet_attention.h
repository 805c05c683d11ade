// Attention, feed-forward and transformer blocks of the UNet ("Spatial transformer", Rombach et al.
// 2022, 3.3), with diffusers' parameter names. They are differentiable: the same code trains and
// draws. Legend: B batch, C channels, H W latent pixels, N = H*W queries, L context tokens, D
// context width.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/normalization.h>

#include <memory>
#include <vector>

#include "nn/conv.h"
#include "nn/linear.h"
#include "nn/unet/unet_scope.h"

namespace pangu::nn {

// The keys and values of a cross-attention, [B,L,C] each.
struct KeysValues {
  at::Tensor keys, values;
};

// What every block of one forward pass shares.
struct UNetConditions {
  at::Tensor time_act;  // [B,T] silu(time embedding), which every residual block projects
  at::Tensor context;   // [B,L,D]
  // Added to the scores: [B,1,1,L], 0 for a token that counts and -10000 (diffusers' value) for a
  // hidden one; or undefined.
  at::Tensor context_bias;
  // The keys and values of every cross-attention, by its number in the network. Empty: each
  // cross-attention computes them from `context`.
  std::vector<KeysValues> keys_values = {};
  bool recomputes = false;  // UNetStepExtras::recomputes
};

struct AttentionShape {
  int64_t query_dim = 0;
  int64_t context_dim = 0;
  int64_t heads = 1;  // head width = query_dim / heads
  bool upcast = false;
};

// softmax(Q K^T / sqrt(head width) + bias) V over tokens; to_q, to_k, to_v have no bias, to_out.0
// has one.
class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const AttentionShape& shape);
  // Self-attention. x: [B,N,C], read through the prologue. Returns [B,N,C].
  at::Tensor forward(const at::Tensor& x, const Prologue& prologue);
  // Cross-attention. bias: as UNetConditions::context_bias.
  at::Tensor forward(const at::Tensor& x, const Prologue& prologue, const KeysValues& of_context,
                     const at::Tensor& bias);
  KeysValues keys_values(const at::Tensor& context);  // [B,L,D]
  int64_t width() const { return width_; }            // C

 private:
  at::Tensor attend(const at::Tensor& queries, const KeysValues& source, const at::Tensor& bias);

  int64_t width_;
  int64_t heads_;
  bool upcast_;
  Linear to_q_{nullptr}, to_k_{nullptr}, to_v_{nullptr}, to_out_{nullptr};
};
TORCH_MODULE(Attention);

// GEGLU (Shazeer 2020): (a, g) = proj(x), then a * gelu(g) with exact gelu, then a product back to
// C. The inner width is 4C.
class FeedForwardImpl : public torch::nn::Module {
 public:
  explicit FeedForwardImpl(int64_t channels);
  at::Tensor forward(const at::Tensor& x, const Prologue& prologue);  // [B,N,C] -> [B,N,C]

 private:
  Linear proj_{nullptr}, out_{nullptr};
};
TORCH_MODULE(FeedForward);

struct TransformerShape {
  int64_t channels = 0;
  int64_t context_dim = 0;
  int64_t heads = 1;
  int64_t depth = 1;
  int64_t norm_groups = 32;
  bool linear_projection = false;
  bool only_cross_attention = false;
  bool upcast = false;
};

// x += attn1(norm1 x); x += attn2(norm2 x, context); x += ff(norm3 x)
class BasicTransformerBlockImpl : public torch::nn::Module {
 public:
  explicit BasicTransformerBlockImpl(const TransformerShape& shape);
  at::Tensor forward(at::Tensor x, const UNetConditions& conditions, const Scope& scope);

  // The attentions that look at the context, in the order of computation: one, or two with
  // only_cross_attention.
  std::vector<Attention> cross_attentions() const;
  // Their numbers in UNetConditions::keys_values are `first` and the next one.
  void number_from(size_t first) { first_number_ = first; }

 private:
  // The keys and values of the cross-attention whose number is the block's first plus `index`.
  KeysValues of_context(const UNetConditions& conditions, size_t index);

  bool only_cross_attention_;
  size_t first_number_ = 0;
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr}, norm3_{nullptr};
  Attention attn1_{nullptr}, attn2_{nullptr};
  FeedForward ff_{nullptr};
};
TORCH_MODULE(BasicTransformerBlock);

// A product over channels whose weight is a Linear's [O,I] or a 1x1 Conv2d's [O,I,1,1] in the file:
// the same arithmetic on tokens. Exactly one of the two is set.
struct PixelLinear {
  Linear linear{nullptr};
  Conv2d conv{nullptr};
  at::Tensor forward(const at::Tensor& tokens) const;  // [B,N,I] -> [B,N,O]
};

// A group norm, a projection, `depth` transformer blocks over the pixels as tokens, and a
// projection back whose result is added to the input.
class Transformer2DModelImpl : public torch::nn::Module {
 public:
  explicit Transformer2DModelImpl(const TransformerShape& shape);
  // x: [B,C,H,W], channels-last. Returns the same shape and layout.
  at::Tensor forward(const at::Tensor& x, const UNetConditions& conditions, const Scope& scope);

 private:
  torch::nn::GroupNorm norm_{nullptr};
  PixelLinear proj_in_, proj_out_;
  std::vector<BasicTransformerBlock> blocks_;
};
TORCH_MODULE(Transformer2DModel);

// Views the pixels of a channels-last [B,C,H,W] as tokens [B,H*W,C], and back.
at::Tensor to_tokens(const at::Tensor& x);
at::Tensor to_pixels(const at::Tensor& tokens, int64_t height, int64_t width);

}  // namespace pangu::nn
