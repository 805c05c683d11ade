#include "nn/features/hed.h"

#include <torch/types.h>

#include "core/error.h"
#include "nn/frozen_weights.h"

namespace pangu::nn {
namespace {

constexpr int kSideOutputs = 5;

}  // namespace

Hed::Hed(const TensorMap& tensors) : trunk_({.depth = kSideOutputs}, tensors) {
  const FrozenWeights weights(tensors);
  const auto conv = [&](const std::string& name, int64_t channels) {
    return Conv{weights.get(name + ".weight", {1, channels, 1, 1}),
                weights.get(name + ".bias", {1})};
  };
  for (int b = 0; b < kSideOutputs; ++b) {
    sides_.push_back(conv("dsn" + std::to_string(b + 1), kVggChannels[b]));
  }
  fuse_ = conv("fuse", kSideOutputs);
}

std::vector<at::Tensor> Hed::logits(const at::Tensor& image) const {
  if (image.dim() != 4 || image.size(2) < kSmallestPx || image.size(3) < kSmallestPx) {
    throw Error(ErrorCode::kInternal, "HED input must be [B,3,H,W] with sides of at least 16");
  }
  const at::NoGradGuard frozen;
  const std::vector<at::Tensor> features = trunk_.features(image);
  std::vector<at::Tensor> out;
  for (size_t b = 0; b < features.size(); ++b) {
    at::Tensor side = at::conv2d(features[b], sides_[b].weight, sides_[b].bias);
    if (b > 0) {
      side = at::upsample_bilinear2d(side, {image.size(2), image.size(3)}, /*align_corners=*/false);
    }
    out.push_back(side);
  }
  out.push_back(at::conv2d(at::cat(out, 1), fuse_.weight, fuse_.bias));
  return out;
}

at::Tensor Hed::edges(const at::Tensor& image) const { return at::sigmoid(logits(image).back()); }

}  // namespace pangu::nn
