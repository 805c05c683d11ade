// The loss of an image autoencoder: L1 and perceptual distance of the reconstruction, KL of the
// posterior, and scale equivariance: halved latents must decode to the halved picture (Kouzelis et
// al. 2025, EQ-VAE), which makes the latents easier to denoise and lets a denoiser trained on small
// pictures draw large ones. With `latent_noise` tau the decoder sees latents with noise of a level
// drawn anew for each sample as |N(0, tau^2)| (Zheng et al. 2025, Diffusion Transformers with
// Representation Autoencoders). With `adversarial_weight` a discriminator is trained along
// (train/adversarial_loss.h), and the decoder learns from it too.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "train/adversarial_loss.h"
#include "train/picture_pool.h"
#include "train/trainer.h"

namespace pangu::train {

// One replica's network. image: [B,3,H,W] in [-1,1]; encode gives (mean, log-variance).
struct AutoencoderCalls {
  std::function<std::pair<at::Tensor, at::Tensor>(const at::Tensor& image)> encode;
  std::function<at::Tensor(const at::Tensor& latent)> decode;
  double latent_unit = 1;          // 1/scaling_factor: what config.latent_noise is counted in
  int64_t downscale = 1;           // pixels a latent pixel, each way
  Discriminate discriminate = {};  // of config.adversarial_weight; or empty
};

// Features of [B,3,H,W] in [-1,1], fine to coarse; gradients flow to the image.
using PerceptualFeatures = std::function<std::vector<at::Tensor>(const at::Tensor& image)>;

// Error kBadInput if config.resolution has no whole latents of an autoencoder of this downscale, or
// half of it where config.equivariance_probability halves latents, or is too small for features
// that look at windows of at least least_seen_px. For callers that know the sizes before they have
// the pictures; autoencoder_loss asks the first two again.
void check_autoencoder_sizes(const TrainConfig& config, int64_t downscale, int64_t least_seen_px);

// pictures: at least one, of any sizes; the loss throws Error kBadInput for one with a side below
// config.resolution. A share of config.whole_picture_probability of the samples are whole pictures
// shrunk to config.resolution, the rest crops of it. `perceptual` may be empty without a
// discriminator. The samples of the next batches are read by threads of their own while a step is
// computed, and no others are in memory; `wait`, if given, hears how long replicas waited for
// theirs. The loss's value is the decoder's; `gauges`, if given, hears of "adversarial_loss", its
// unweighted part, and "discriminator_loss", which are log 2 = 0.69 where nothing is told apart.
LossFunction autoencoder_loss(const TrainConfig& config, std::vector<AutoencoderCalls> replicas,
                              PerceptualFeatures perceptual, PicturePool pictures,
                              std::shared_ptr<DataWait> wait = nullptr,
                              std::shared_ptr<Gauges> gauges = nullptr);

// Mean over positions of the squared distance of unit-length feature vectors, summed over layers,
// one number a picture: LPIPS without its learned weights (Zhang et al. 2018). [B]
at::Tensor perceptual_distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b);

}  // namespace pangu::train
