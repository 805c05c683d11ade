// The adversarial part of an autoencoder's loss (Esser et al. 2021, VQGAN): a discriminator learns
// to tell reconstructions from pictures, and the decoder learns from its gradient what makes them
// look real. It sees features of a frozen network (Sauer et al. 2021, Projected GANs). The losses
// are the relativistic ones of R3GAN (Jolicoeur-Martineau 2018; Huang et al. 2024), of each
// reconstruction beside its own picture, with gradient penalties on both by finite differences (Lin
// et al. 2025, Adversarial Post-Training), which need no second derivatives.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace pangu::train {

// Of a batch of pictures: [B,C,h,w] for each layer of a frozen network.
using LayerFeatures = std::vector<at::Tensor>;

// Returns logits [B,1,h,w] for each layer: the greater, the more real. learns: whether gradients
// flow to the discriminator's weights, too, and not to the features alone.
using Discriminate =
    std::function<std::vector<at::Tensor>(const LayerFeatures& features, bool learns)>;

// The features of pictures and of their reconstructions in f32, divided layer by layer and picture
// by picture by the root mean square of the real ones.
struct FeaturePair {
  LayerFeatures real, drawn;
};
FeaturePair scaled_pair(const LayerFeatures& real, const LayerFeatures& drawn);

// What the decoder lowers: the sum over pictures of the mean over layers of the mean over places of
// softplus(logit(real) - logit(drawn)). Gradients flow to `drawn` alone.
at::Tensor decoder_loss(const Discriminate& discriminate, const FeaturePair& pair);

// What the discriminator lowers: sums over pictures of means over layers and places, with gradients
// for its weights alone. telling: softplus(logit(drawn) - logit(real)), log 2 where it sees no
// difference. penalty: half of kGradientPenalty times the squared slope of the logits, at `real`
// and at `drawn`, in the direction of noise, which comes from `normal`: N(0,1) of the shape of a
// layer's features, for layer i.
struct DiscriminatorLoss {
  at::Tensor telling, penalty;
};
inline constexpr double kGradientPenalty = 0.1;
DiscriminatorLoss discriminator_loss(
    const Discriminate& discriminate, const FeaturePair& pair,
    const std::function<at::Tensor(size_t layer, const at::Tensor& like)>& normal);

}  // namespace pangu::train
