#include "nn/upscaler/rrdb_net.h"

#include <torch/nn.h>

#include "core/error.h"
#include "nn/conv.h"

namespace pangu::nn {
namespace {

constexpr double kSlope = 0.2;          // of the leaky ReLUs
constexpr double kResidualScale = 0.2;  // arXiv 1809.00219, section 3.1
constexpr int64_t kColours = 3, kDenseBlocks = 3, kDenseLayers = 5;
constexpr int64_t kMostDoublings = 4, kMostRrdbBlocks = 256, kMostRrdbChannels = 4096;

Conv2d rrdb_conv(int64_t in, int64_t out) { return same_conv2d(in, out, 3); }

at::Tensor leaky(at::Tensor x) { return at::leaky_relu_(x, kSlope); }

at::Tensor doubled(const at::Tensor& x) {
  return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
}

// Each layer sees the input and what all layers before it gave.
struct DenseBlock : torch::nn::Module {
  std::vector<Conv2d> layers;

  DenseBlock(int64_t features, int64_t growth) {
    for (int64_t i = 0; i < kDenseLayers; ++i) {
      const bool last = i + 1 == kDenseLayers;
      layers.push_back(register_module("conv" + std::to_string(i + 1),
                                       rrdb_conv(features + i * growth, last ? features : growth)));
    }
  }

  at::Tensor forward(const at::Tensor& x) const {
    at::Tensor seen = x;
    for (size_t i = 0; i + 1 < layers.size(); ++i) {
      seen = at::cat({seen, leaky(layers[i]->forward(seen))}, 1);
    }
    return x + kResidualScale * layers.back()->forward(seen);
  }
};

struct ResidualBlock : torch::nn::Module {
  std::vector<std::shared_ptr<DenseBlock>> dense;

  ResidualBlock(int64_t features, int64_t growth) {
    for (int64_t i = 0; i < kDenseBlocks; ++i) {
      dense.push_back(register_module("rdb" + std::to_string(i + 1),
                                      std::make_shared<DenseBlock>(features, growth)));
    }
  }

  at::Tensor forward(const at::Tensor& x) const {
    at::Tensor inner = x;
    for (const auto& block : dense) inner = block->forward(inner);
    return x + kResidualScale * inner;
  }
};

}  // namespace

RrdbConfig rrdb_config_from_shapes(const TensorShapes& shapes) {
  const auto shape_of = [&](const std::string& name) {
    const auto found = shapes.find(name);
    if (found == shapes.end() || found->second.size() != 4) {
      throw bad_input("ESRGAN upscaler, tensor '" + name + "'", "a convolution's weight", "none");
    }
    return found->second;
  };
  const auto first = shape_of("conv_first.weight"), dense = shape_of("body.0.rdb1.conv1.weight");
  RrdbConfig config;
  config.features = first[0];
  config.growth = dense[0];
  config.folded = first[1] == kColours ? 1 : first[1] == kColours * 4 ? 2 : 4;
  const auto count = [&](const std::string& front, int64_t from, const std::string& behind) {
    int64_t n = 0;
    while (shapes.count(front + std::to_string(from + n) + behind) > 0) ++n;
    return n;
  };
  config.blocks = count("body.", 0, ".rdb1.conv1.weight");
  config.doublings = count("conv_up", 1, ".weight");
  const bool fits = first[1] == kColours * config.folded * config.folded &&
                    shape_of("conv_last.weight")[0] == kColours && config.factor() >= 1 &&
                    config.doublings <= kMostDoublings && config.blocks <= kMostRrdbBlocks &&
                    config.features >= 1 && config.features <= kMostRrdbChannels &&
                    config.growth >= 1 && config.growth <= kMostRrdbChannels;
  if (!fits) {
    throw bad_input("ESRGAN upscaler", "a network of RGB pictures that enlarges by 1 to 16",
                    std::to_string(first[1]) + " channels in, " +
                        std::to_string(shape_of("conv_last.weight")[0]) + " out, " +
                        std::to_string(config.doublings) + " doublings");
  }
  return config;
}

struct RrdbNet::Layers {
  Conv2d first{nullptr}, body_end{nullptr}, wide{nullptr}, last{nullptr};
  std::vector<std::shared_ptr<ResidualBlock>> blocks;
  std::vector<Conv2d> ups;
};

RrdbNet::RrdbNet(const RrdbConfig& config) : config_(config), layers_(std::make_shared<Layers>()) {
  const int64_t f = config.features;
  Layers& l = *layers_;
  l.first = register_module("conv_first", rrdb_conv(kColours * config.folded * config.folded, f));
  const auto body = register_module("body", std::make_shared<torch::nn::Module>("Sequential"));
  for (int64_t i = 0; i < config.blocks; ++i) {
    l.blocks.push_back(body->register_module(std::to_string(i),
                                             std::make_shared<ResidualBlock>(f, config.growth)));
  }
  l.body_end = register_module("conv_body", rrdb_conv(f, f));
  for (int64_t i = 0; i < config.doublings; ++i) {
    l.ups.push_back(register_module("conv_up" + std::to_string(i + 1), rrdb_conv(f, f)));
  }
  l.wide = register_module("conv_hr", rrdb_conv(f, f));
  l.last = register_module("conv_last", rrdb_conv(f, kColours));
}

at::Tensor RrdbNet::forward(const at::Tensor& pixels, const Watch& watch) const {
  if (pixels.dim() != 4 || pixels.size(1) != kColours) {
    throw Error(ErrorCode::kInternal, "an upscaler's input must be [B,3,H,W]");
  }
  const at::NoGradGuard frozen;
  const Layers& l = *layers_;
  const int64_t h = pixels.size(2), w = pixels.size(3), k = config_.folded;
  at::Tensor x = pixels;
  if (k > 1) {
    x = at::pixel_unshuffle(at::replication_pad2d(x, {0, (k - w % k) % k, 0, (k - h % k) % k}), k);
  }
  const at::Tensor start = l.first->forward(x);
  at::Tensor y = start;
  for (const auto& block : l.blocks) {
    watch.check();
    y = block->forward(y);
  }
  y = start + l.body_end->forward(y);
  for (const Conv2d& up : l.ups) y = leaky(up->forward(doubled(y)));
  y = l.last->forward(leaky(l.wide->forward(y)));
  const int64_t factor = config_.factor();
  return y.narrow(2, 0, h * factor).narrow(3, 0, w * factor);
}

}  // namespace pangu::nn
