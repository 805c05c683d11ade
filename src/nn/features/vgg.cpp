// The trunk is thirteen 3x3 convolutions in five blocks, with a 2x2 maximum pool (rounding up)
// between blocks.
#include "nn/features/vgg.h"

#include <torch/types.h>

#include "core/error.h"
#include "nn/frozen_weights.h"

namespace pangu::nn {
namespace {

constexpr int kConvolutions[] = {2, 2, 3, 3, 3};  // of each block

// Caffe's ImageNet mean of RGB in 0..255, as the HED weights were trained with.
constexpr float kMean[] = {122.67892F, 116.66877F, 104.00699F};
constexpr double kHalfRange = 127.5;

}  // namespace

Vgg16::Vgg16(const VggConfig& config, const TensorMap& tensors) {
  if (config.depth < 1 || config.depth > 5) {
    throw bad_input("VGG16 depth", "1..5 blocks", std::to_string(config.depth));
  }
  const FrozenWeights weights(tensors);
  int64_t channels = 3;
  int index = 0;  // torchvision numbers convolutions, ReLUs and pools in one sequence
  for (int b = 0; b < config.depth; ++b) {
    auto& block = blocks_.emplace_back();
    for (int c = 0; c < kConvolutions[b]; ++c) {
      const std::string name = "features." + std::to_string(index);
      const int64_t out = kVggChannels[b];
      block.push_back({weights.get(name + ".weight", {out, channels, 3, 3}),
                       weights.get(name + ".bias", {out})});
      channels = out;
      index += 2;
    }
    index += 1;
  }
  mean_ = at::tensor(at::ArrayRef<float>(kMean)).view({1, 3, 1, 1});
}

void Vgg16::to(at::Device device, at::ScalarType dtype) {
  for (auto& block : blocks_) {
    for (Conv& conv : block) {
      conv.weight = conv.weight.to(device, dtype);
      conv.bias = conv.bias.to(device, dtype);
    }
  }
  mean_ = mean_.to(device);
}

std::vector<at::Tensor> Vgg16::features(const at::Tensor& image) const {
  const int64_t smallest = int64_t{1} << (blocks_.size() - 1);
  if (image.dim() != 4 || image.size(1) != 3 || image.size(2) < smallest ||
      image.size(3) < smallest) {
    throw Error(ErrorCode::kInternal,
                "VGG16 input must be [B,3,H,W] with sides of at least " + std::to_string(smallest));
  }
  const Conv& first = blocks_[0][0];
  at::Tensor x = ((image + 1.0) * kHalfRange - mean_).to(first.weight.scalar_type());
  std::vector<at::Tensor> out;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    if (b > 0) x = at::max_pool2d(x, {2, 2}, {2, 2}, {0, 0}, {1, 1}, /*ceil_mode=*/true);
    for (const Conv& conv : blocks_[b]) {
      x = at::relu(at::conv2d(x, conv.weight, conv.bias, 1, 1));
    }
    out.push_back(x);
  }
  return out;
}

}  // namespace pangu::nn
