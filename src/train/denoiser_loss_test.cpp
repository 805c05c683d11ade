// What a denoiser's loss refuses before it is trained.
#include "train/denoiser_loss.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/testing.h"

namespace pangu::train {
namespace {

TEST_CASE("a crop that is larger than a latent is refused before training begins") {
  auto set = std::make_shared<LatentSet>();
  set->items.emplace_back().latent = at::zeros({4, 8, 6}, at::kBFloat16);
  set->captions.offsets = {0, 1};
  set->captions.states = at::zeros({1, 3}, at::kBFloat16);
  TrainConfig config;
  const auto refusal = [&](int64_t crop) {
    config.latent_crop = crop;
    return refusal_of([&] { denoiser_loss(config, diffusion::Schedule(), {}, {}, set); });
  };
  CHECK(refusal(0) == "accepted");
  CHECK(refusal(6) == "accepted");
  CHECK(contains(refusal(7), "latent_crop"));
  CHECK(contains(refusal(7), "at most 6"));
  CHECK(contains(refusal(9), "found 9"));
}

TEST_CASE("a mask says how much of each pixel's loss counts") {
  TrainConfig config;
  config.train_batch_size = 1;
  config.mixed_precision = "no";
  const auto loss_with = [&](const at::Tensor& mask) {
    auto set = std::make_shared<LatentSet>();
    LatentItem& item = set->items.emplace_back();
    item.latent = at::ones({4, 4, 8}, at::kBFloat16);
    item.mask = mask;
    item.captions = {{0}};
    set->captions.offsets = {0, 1};
    set->captions.states = at::zeros({1, 3}, at::kBFloat16);
    // Wrong by the same everywhere but for the noise, which is one for all masks.
    const DenoiserCall zero = [](const at::Tensor& x, const at::Tensor&, const at::Tensor&,
                                 const at::Tensor&) { return at::zeros_like(x); };
    const auto loss =
        denoiser_loss(config, schedule_of(config), loss_config_of(config), {zero}, set);
    return loss({.replica = 0, .batch = 0, .first = 0, .count = 1}).item<double>();
  };
  const auto ones = at::ones({1, 4, 8}, at::kBFloat16);
  at::Tensor left = at::zeros({1, 4, 8}, at::kBFloat16);
  left.slice(2, 0, 4).fill_(1);
  const double whole = loss_with({});
  CHECK(whole > 0.0);
  CHECK(loss_with(ones) == doctest::Approx(whole));
  CHECK(loss_with(at::zeros_like(ones)) == 0.0);
  CHECK(loss_with(ones * 0.25) == doctest::Approx(whole / 4));
  CHECK(loss_with(left) + loss_with(1 - left) == doctest::Approx(whole));
}

}  // namespace
}  // namespace pangu::train
