#include "train/autoencoder_loss.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>

using namespace pangu::train;

namespace {

constexpr int64_t kSide = 8, kChannels = 2, kGrid = 32;

// What the decoder is given for samples [first, first + count) of a batch of 256 pictures that all
// encode to zero without deviation.
at::Tensor latents_seen(TrainConfig config, double latent_unit, int64_t first, int64_t count) {
  config.resolution = kSide;
  config.train_batch_size = 256;
  config.mixed_precision = "no";
  config.train_encoder = false;
  config.equivariance_probability = 0;
  at::Tensor seen;
  const AutoencoderCalls calls{[](const at::Tensor& x) {
                                 const at::Tensor zero =
                                     at::zeros({x.size(0), kChannels, kGrid, kGrid});
                                 return std::pair(zero, zero - 200);
                               },
                               [&seen](const at::Tensor& z) {
                                 seen = z.clone();
                                 return at::zeros({z.size(0), 3, kSide, kSide});
                               },
                               latent_unit};
  const at::Tensor picture = at::full({kSide, kSide, 4}, 255, at::kByte);
  autoencoder_loss(config, {calls}, {}, {picture})({0, 0, first, count});
  return seen;
}

}  // namespace

TEST_CASE("latent noise has a level of |N(0, tau^2)| for each sample, in latent units") {
  TrainConfig config;
  CHECK(latents_seen(config, 1, 0, 4).abs().max().item<double>() < 1e-30);
  config.latent_noise = 0.3;
  const at::Tensor z = latents_seen(config, 5, 0, 256);
  const at::Tensor level = z.square().mean({1, 2, 3}).sqrt() / 5;
  // Of a half-normal: root mean square tau, mean tau sqrt(2/pi); 256 samples, four sigmas.
  CHECK(level.square().mean().sqrt().item<double>() == doctest::Approx(0.3).epsilon(0.18));
  CHECK(level.mean().item<double>() ==
        doctest::Approx(0.3 * std::sqrt(2 / std::acos(-1.0))).epsilon(0.19));
  CHECK(z.mean({1, 2, 3}).abs().max().item<double>() < 0.5);
  CHECK(latents_seen(config, 5, 0, 256).equal(z));
}

TEST_CASE("latent noise does not depend on how a batch is cut into slices") {
  TrainConfig config;
  config.latent_noise = 0.3;
  const at::Tensor whole = latents_seen(config, 1, 0, 8);
  CHECK(latents_seen(config, 1, 0, 3).equal(whole.slice(0, 0, 3)));
  CHECK(latents_seen(config, 1, 3, 5).equal(whole.slice(0, 3)));
}
