// A discriminator of patches (Isola et al. 2017) that sees a picture through a frozen network, here
// VGG (Sauer et al. 2021, Projected GANs): a small head for each layer of its features says of
// every place how real it looks. Heads learn in hundreds of steps what a network of pixels learns
// in tens of thousands. They have no norms, so that a picture's logits do not depend on the others
// of its batch. It is trained beside an autoencoder (train/adversarial_loss.h) and is in no model.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "nn/conv.h"

namespace pangu::nn {

class FeatureDiscriminatorImpl : public torch::nn::Module {
 public:
  // layer_channels: of the features; width: channels within a head. Weights are fresh, from torch's
  // global generator.
  FeatureDiscriminatorImpl(const std::vector<int64_t>& layer_channels, int64_t width);

  // features: [B,C,h,w] for each layer, about 1 in size. Returns logits [B,1,h,w] for each. learns:
  // whether gradients flow to the weights, too, and not to the features alone.
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& features, bool learns) const;

 private:
  struct Layer {
    Conv2d conv;
    ConvShape shape;
  };
  std::vector<std::vector<Layer>> heads_;
};
TORCH_MODULE(FeatureDiscriminator);

}  // namespace pangu::nn
