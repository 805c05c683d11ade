// Residual, down, middle and up blocks of the UNet, with diffusers' parameter names and order.
// It knows no configuration file: unet_shapes.h turns UNetConfig into the shapes below. Legend: B
// batch, C channels, H W latent pixels; all [B,C,H,W] are channels-last in memory.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/normalization.h>

#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "nn/unet/unet_attention.h"

namespace pangu::nn {

struct ResnetShape {
  int64_t in = 0;
  int64_t out = 0;
  int64_t time_dim = 0;
  int64_t groups = 32;
  double eps = 1e-5;
};

// conv2(silu(norm2(conv1(silu(norm1 x)) + time))) + x, with a 1x1 `conv_shortcut` on x when
// channels change.
class ResnetBlock2DImpl : public torch::nn::Module {
 public:
  explicit ResnetBlock2DImpl(const ResnetShape& shape);
  // x: [B,in,H,W], time_act: [B,time_dim] -> [B,out,H,W]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time_act);

 private:
  torch::nn::GroupNorm norm1_{nullptr}, norm2_{nullptr};
  Conv2d conv1_{nullptr}, conv2_{nullptr}, shortcut_{nullptr};
  Linear time_{nullptr};
};
TORCH_MODULE(ResnetBlock2D);

// One level of the UNet, downward or upward. `transformer` is unset for a level without attention.
struct BlockShape {
  std::vector<ResnetShape> resnets;
  std::optional<TransformerShape> transformer;
  // The TransformerShape::depth of each attention; empty: that of `transformer` for all.
  std::vector<int64_t> depths = {};
  // Whether the block ends with a stride-2 convolution (down), or with nearest upsampling by 2 and
  // a convolution (up).
  bool resamples = false;
};

class DownBlockImpl : public torch::nn::Module {
 public:
  explicit DownBlockImpl(const BlockShape& shape);
  // Returns the block's output; appends every state that the up path will take to `skips`. It ends
  // early when `skips` has `most_skips` states. REQUIRES: it has fewer.
  at::Tensor forward(at::Tensor x, const UNetConditions& conditions, std::vector<at::Tensor>& skips,
                     const Scope& scope, size_t most_skips = std::numeric_limits<size_t>::max());

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;
  Conv2d downsampler_{nullptr};
};
TORCH_MODULE(DownBlock);

// One residual block, then a transformer and a residual block when the shape has a transformer.
class MidBlockImpl : public torch::nn::Module {
 public:
  explicit MidBlockImpl(const BlockShape& shape);
  at::Tensor forward(at::Tensor x, const UNetConditions& conditions, const Scope& scope);

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;
};
TORCH_MODULE(MidBlock);

class UpBlockImpl : public torch::nn::Module {
 public:
  explicit UpBlockImpl(const BlockShape& shape);
  // Takes its skips from the back of `skips`. Upsamples to the size of the skip that the next block
  // will take, which is not twice its own size when the latent's sides are not multiples of
  // 2^levels. It runs the layers from `first` up to but not including `last`; the upsampling comes
  // with the last layer.
  at::Tensor forward(at::Tensor x, const UNetConditions& conditions, std::vector<at::Tensor>& skips,
                     const Scope& scope, size_t first, size_t last);
  // The number of layers, each of which takes one skip.
  size_t layers() const { return resnets_.size(); }

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;
  Conv2d upsampler_{nullptr};
};
TORCH_MODULE(UpBlock);

}  // namespace pangu::nn
