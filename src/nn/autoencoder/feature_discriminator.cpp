#include "nn/autoencoder/feature_discriminator.h"

#include <torch/types.h>

namespace pangu::nn {
namespace {

constexpr double kHeadSlope = 0.2;  // of the leaky ReLUs

}  // namespace

FeatureDiscriminatorImpl::FeatureDiscriminatorImpl(const std::vector<int64_t>& layer_channels,
                                                   int64_t width) {
  for (size_t i = 0; i < layer_channels.size(); ++i) {
    std::vector<Layer> head;
    const auto add = [&](const char* name, int64_t in, int64_t out, int64_t kernel) {
      const ConvShape shape{.padding = kernel / 2};
      head.push_back(
          {register_module(name + std::to_string(i), Conv2d(in, out, kernel, shape)), shape});
    };
    add("narrow", layer_channels[i], width, 1);
    add("look", width, width, 3);
    add("judge", width, 1, 3);
    heads_.push_back(std::move(head));
  }
}

std::vector<at::Tensor> FeatureDiscriminatorImpl::forward(const std::vector<at::Tensor>& features,
                                                          bool learns) const {
  std::vector<at::Tensor> logits;
  for (size_t i = 0; i < heads_.size(); ++i) {
    at::Tensor x = features[i].to(heads_[i].front().conv->weight.scalar_type());
    for (const Layer& layer : heads_[i]) {
      if (&layer != &heads_[i].front()) x = at::leaky_relu(x, kHeadSlope);
      x = learns ? layer.conv->forward(x)
                 : conv2d(x, layer.conv->weight.detach(), layer.conv->bias.detach(), layer.shape);
    }
    logits.push_back(x);
  }
  return logits;
}

}  // namespace pangu::nn
