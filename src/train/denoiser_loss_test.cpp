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

}  // namespace
}  // namespace pangu::train
