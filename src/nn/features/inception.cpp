// The graph is written once, as a walk that is either building (it reads weights of the shape it
// meets) or running (it convolves). Concatenation order is Keras' keras.applications.inception_v3.
#include "nn/features/inception.h"

#include <torch/types.h>

#include "core/error.h"
#include "nn/frozen_weights.h"

namespace pangu::nn {
namespace {

using at::Tensor;

Tensor max_pool(const Tensor& x) { return at::max_pool2d(x, {3, 3}, {2, 2}); }

// TensorFlow's "same" average leaves the padding out of the mean.
Tensor average_pool(const Tensor& x) {
  return at::avg_pool2d(x, {3, 3}, {1, 1}, {1, 1}, /*ceil_mode=*/false,
                        /*count_include_pad=*/false);
}

struct Shape {
  int64_t channels, height = 1, width = 1;
  bool reduce = false;  // stride 2 without padding
};

// `conv(x, shape)` applies the next convolution. Each block calls it in the order of the
// convolutions' numbers.
template <typename Conv>
Tensor block_35(const Tensor& x, Conv& conv, int64_t pool_channels) {
  const Tensor a = conv(x, {64});
  Tensor b = conv(x, {48});
  b = conv(b, {64, 5, 5});
  Tensor c = conv(x, {64});
  c = conv(c, {96, 3, 3});
  c = conv(c, {96, 3, 3});
  return at::cat({a, b, c, conv(average_pool(x), {pool_channels})}, 1);
}

template <typename Conv>
Tensor reduce_35_to_17(const Tensor& x, Conv& conv) {
  const Tensor a = conv(x, {384, 3, 3, true});
  Tensor b = conv(x, {64});
  b = conv(b, {96, 3, 3});
  b = conv(b, {96, 3, 3, true});
  return at::cat({a, b, max_pool(x)}, 1);
}

template <typename Conv>
Tensor block_17(const Tensor& x, Conv& conv, int64_t inner) {
  const Tensor a = conv(x, {192});
  Tensor b = conv(x, {inner});
  b = conv(b, {inner, 1, 7});
  b = conv(b, {192, 7, 1});
  Tensor c = conv(x, {inner});
  c = conv(c, {inner, 7, 1});
  c = conv(c, {inner, 1, 7});
  c = conv(c, {inner, 7, 1});
  c = conv(c, {192, 1, 7});
  return at::cat({a, b, c, conv(average_pool(x), {192})}, 1);
}

template <typename Conv>
Tensor reduce_17_to_8(const Tensor& x, Conv& conv) {
  Tensor a = conv(x, {192});
  a = conv(a, {320, 3, 3, true});
  Tensor b = conv(x, {192});
  b = conv(b, {192, 1, 7});
  b = conv(b, {192, 7, 1});
  b = conv(b, {192, 3, 3, true});
  return at::cat({a, b, max_pool(x)}, 1);
}

template <typename Conv>
Tensor block_8(const Tensor& x, Conv& conv) {
  const Tensor a = conv(x, {320});
  const Tensor b = conv(x, {384});
  const Tensor b_wide = conv(b, {384, 1, 3});
  const Tensor b_high = conv(b, {384, 3, 1});
  Tensor c = conv(x, {448});
  c = conv(c, {384, 3, 3});
  const Tensor c_wide = conv(c, {384, 1, 3});
  const Tensor c_high = conv(c, {384, 3, 1});
  return at::cat({a, b_wide, b_high, c_wide, c_high, conv(average_pool(x), {192})}, 1);
}

// x: [B,3,S,S] in [0,1]. Calls on_mixed6 with [B,768,h,w]; if that returns false, stops there.
template <typename Conv, typename OnMixed6>
Tensor walk(Tensor x, Conv conv, OnMixed6 on_mixed6) {
  x = conv(x, {32, 3, 3, true});
  x = conv.unpadded(x, {32, 3, 3});
  x = conv(x, {64, 3, 3});
  x = max_pool(x);
  x = conv(x, {80});
  x = conv.unpadded(x, {192, 3, 3});
  x = max_pool(x);
  x = block_35(x, conv, 32);
  x = block_35(x, conv, 64);
  x = block_35(x, conv, 64);
  x = reduce_35_to_17(x, conv);
  x = block_17(x, conv, 128);
  x = block_17(x, conv, 160);
  x = block_17(x, conv, 160);
  if (!on_mixed6(x)) return {};
  x = block_17(x, conv, 192);
  x = reduce_17_to_8(x, conv);
  x = block_8(x, conv);
  return block_8(x, conv);
}

}  // namespace

// Reads the next weights and passes on an empty batch of the right shape.
class Inception::Builder {
 public:
  Builder(const FrozenWeights& weights, double eps, std::vector<Conv>& convs)
      : weights_(weights), eps_(eps), convs_(convs) {}

  Tensor operator()(const Tensor& x, const Shape& shape) { return add(x, shape, !shape.reduce); }
  Tensor unpadded(const Tensor& x, const Shape& shape) { return add(x, shape, false); }

 private:
  Tensor add(const Tensor& x, const Shape& shape, bool same_padding) {
    const std::string number = std::to_string(convs_.size() + 1);
    const std::string norm = "batch_normalization_" + number;
    const int64_t out = shape.channels;
    const Tensor weight =
        weights_.get("conv2d_" + number + ".weight", {out, x.size(1), shape.height, shape.width});
    const Tensor gain = (weights_.get(norm + ".variance", {out}) + eps_).rsqrt();
    const Tensor bias =
        weights_.get(norm + ".beta", {out}) - weights_.get(norm + ".mean", {out}) * gain;
    convs_.push_back(
        {weight * gain.view({out, 1, 1, 1}), bias, shape.reduce ? 2 : 1, same_padding});
    const Conv& conv = convs_.back();
    const auto size = [&](int64_t dim, int64_t kernel) {
      return same_padding ? x.size(dim) : (x.size(dim) - kernel) / conv.stride + 1;
    };
    return at::empty({0, out, size(2, shape.height), size(3, shape.width)});
  }
  const FrozenWeights& weights_;
  double eps_;
  std::vector<Conv>& convs_;
};

class Inception::Walk {
 public:
  explicit Walk(const std::vector<Conv>& convs) : next_(convs.data()) {}

  Tensor operator()(const Tensor& x, const Shape&) {
    const Conv& conv = *next_++;
    const int64_t high = conv.same_padding ? conv.weight.size(2) / 2 : 0;
    const int64_t wide = conv.same_padding ? conv.weight.size(3) / 2 : 0;
    const Tensor y =
        at::conv2d(x, conv.weight, conv.bias, {conv.stride, conv.stride}, {high, wide});
    return at::relu(y);
  }
  Tensor unpadded(const Tensor& x, const Shape& shape) { return (*this)(x, shape); }

 private:
  const Conv* next_;
};

Inception::Inception(const InceptionConfig& config, const TensorMap& tensors) : config_(config) {
  constexpr int kSmallestPx = 75;  // for smaller pictures the last blocks are empty
  if (config.input_px < kSmallestPx) {
    throw bad_input("Inception input_px", "at least 75", std::to_string(config.input_px));
  }
  const FrozenWeights weights(tensors);
  // An empty batch: shapes are worked out, and nothing is computed.
  const Tensor seed = at::empty({0, 3, config.input_px, config.input_px});
  walk(seed, Builder(weights, config.norm_eps, convs_),
       [&](const Tensor&) { return !config_.stop_at_mixed6; });
}

void Inception::to(at::Device device) {
  for (Conv& conv : convs_) {
    conv.weight = conv.weight.to(device);
    conv.bias = conv.bias.to(device);
  }
}

InceptionFeatures Inception::features(const at::Tensor& image) const {
  if (image.dim() != 4 || image.size(1) != 3 || image.numel() == 0) {
    throw Error(ErrorCode::kInternal, "Inception input must be a non-empty [B,3,H,W]");
  }
  const at::NoGradGuard frozen;
  const int64_t side = config_.input_px;
  Tensor x = image.to(convs_[0].weight.device(), at::kFloat);
  if (x.size(2) != side || x.size(3) != side) {
    x = at::_upsample_bilinear2d_aa(x, {side, side}, /*align_corners=*/false);
  }
  InceptionFeatures out;
  const Tensor last = walk((x + 1.0) * 0.5, Walk(convs_), [&](const Tensor& mixed6) {
    out.mixed6 = mixed6.mean({2, 3});
    return !config_.stop_at_mixed6;
  });
  if (last.defined()) out.final = last.mean({2, 3});
  return out;
}

}  // namespace pangu::nn
