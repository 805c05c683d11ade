// Reads Keras' weights and asks the shared graph (nn/features/inception_graph.h) for two of its
// stages.
#include "nn/features/inception.h"

#include <torch/types.h>

#include <string_view>

#include "core/error.h"
#include "nn/frozen_weights.h"

namespace pangu::nn {
namespace {

constexpr std::string_view kMixed6 = "Mixed_6d";  // Keras counts its mixed blocks from 0

}  // namespace

Inception::Inception(const InceptionConfig& config, const TensorMap& tensors) : config_(config) {
  if (config.input_px < inception::kSmallestPx) {
    throw bad_input("Inception input_px", "at least " + std::to_string(inception::kSmallestPx),
                    std::to_string(config.input_px));
  }
  const FrozenWeights weights(tensors);
  const auto read = [&](size_t index, const std::vector<int64_t>& shape) {
    const std::string number = std::to_string(index + 1);
    const std::string norm = "batch_normalization_" + number;
    const int64_t out = shape[0];
    const at::Tensor weight = weights.get("conv2d_" + number + ".weight", shape);
    const at::Tensor gain = (weights.get(norm + ".variance", {out}) + config.norm_eps).rsqrt();
    const at::Tensor bias =
        weights.get(norm + ".beta", {out}) - weights.get(norm + ".mean", {out}) * gain;
    return std::pair(weight * gain.view({out, 1, 1, 1}), bias);
  };
  graph_ = inception::build(config.input_px, /*max_pool_at_last=*/false, read,
                            [&](std::string_view stage, const at::Tensor&) {
                              return stage != kMixed6 || !config_.stop_at_mixed6;
                            });
}

void Inception::to(at::Device device) {
  for (inception::FoldedConv& conv : graph_.convs) {
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
  at::Tensor x = image.to(graph_.convs[0].weight.device(), at::kFloat);
  if (x.size(2) != side || x.size(3) != side) {
    x = at::_upsample_bilinear2d_aa(x, {side, side}, /*align_corners=*/false);
  }
  InceptionFeatures out;
  const at::Tensor last =
      inception::run(graph_, (x + 1.0) * 0.5, [&](std::string_view stage, const at::Tensor& found) {
        if (stage != kMixed6) return true;
        out.mixed6 = found.mean({2, 3});
        return !config_.stop_at_mixed6;
      });
  if (last.defined()) out.final = last.mean({2, 3});
  return out;
}

}  // namespace pangu::nn
