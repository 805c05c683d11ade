#include "train/autoencoder_loss.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>

#include "core/testing.h"

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

TEST_CASE("sizes without whole latents, or too small for what looks at them, are refused") {
  TrainConfig config;
  const auto refusal = [&](int64_t resolution, double halved, int64_t least_seen_px) {
    config.resolution = resolution;
    config.equivariance_probability = halved;
    return pangu::refusal_of([&] { check_autoencoder_sizes(config, 8, least_seen_px); });
  };
  CHECK(refusal(8, 0, 0) == "accepted");
  CHECK(refusal(16, 0.3, 4) == "accepted");
  // One latent pixel cannot be halved; half of three is none.
  CHECK(pangu::contains(refusal(8, 0.3, 0), "a multiple of 16 px"));
  CHECK(pangu::contains(refusal(24, 0.3, 0), "found 24"));
  CHECK(pangu::contains(refusal(24, 0.3, 0), "equivariance_probability = 0"));
  CHECK(pangu::contains(refusal(20, 0, 0), "a multiple of 8 px"));
  CHECK(pangu::contains(refusal(8, 0, 16), "at least 16 px for perceptual_weights"));
  CHECK(pangu::contains(refusal(16, 0.3, 16), "at least 32 px"));
}

TEST_CASE("a picture that is smaller than the crops of it is refused") {
  TrainConfig config;
  config.resolution = kSide;
  config.equivariance_probability = 0;
  const auto refusal = [&](int64_t height, int64_t width) {
    return pangu::refusal_of([&] {
      autoencoder_loss(config, {AutoencoderCalls{}}, {},
                       {at::zeros({height, width, 4}, at::kByte)});
    });
  };
  CHECK(refusal(kSide, kSide + 3) == "accepted");
  CHECK(pangu::contains(refusal(kSide, kSide - 1), "found 7 x 8"));
  CHECK(pangu::contains(refusal(kSide - 2, kSide), "resolution = 8 px"));
}
