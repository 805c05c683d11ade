// What a denoiser's loss tells the network, and what it refuses before it is trained.
#include "train/denoiser_loss.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/testing.h"

namespace pangu::train {
namespace {

TEST_CASE("a crop that is larger than a latent is refused before training begins") {
  auto set = std::make_shared<LatentSet>();
  set->items.emplace_back().latent = at::zeros({4, 8, 6}, at::kBFloat16);
  set->captions.states = {at::zeros({1, 3}, at::kBFloat16)};
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

// Two items with a caption in each language and control channels; caption i has i + 1 tokens of i.
std::shared_ptr<LatentSet> told_set() {
  auto set = std::make_shared<LatentSet>();
  for (int32_t i = 0; i < 2; ++i) {
    LatentItem& item = set->items.emplace_back();
    item.latent = at::full({4, 8, 8}, 0.5, at::kBFloat16);
    item.control = [i] { return at::full({1, 8, 8}, i + 1, at::kBFloat16); };
    item.captions = {{2 * i + 1}, {2 * i + 2}};
  }
  for (int64_t i = 0; i < 5; ++i) {
    set->captions.states.push_back(at::full({i + 1, 3}, double(i), at::kBFloat16));
  }
  return set;
}

TEST_CASE("a batch tells each item's caption, languages in turn, the unconditional side first") {
  const auto set = told_set();
  const LatentBatch batch = batch_of(*set, {0, 1}, /*guided=*/true);
  CHECK(batch.latents.sizes() == at::IntArrayRef({2, 4, 8, 8}));
  const diffusion::Conditions& c = batch.conditions;
  // Caption 0 twice, then number 1 (first language of item 0) and 4 (second language of item 1).
  CHECK(c.context.sizes() == at::IntArrayRef({4, 5, 3}));
  CHECK(at::equal(c.context_mask.sum(1), at::tensor({1, 1, 2, 5})));
  CHECK(c.context[2][1][0].item<double>() == 1.0);
  CHECK(c.context[3][4][0].item<double>() == 4.0);
  CHECK(c.context[2][2][0].item<double>() == 0.0);
  CHECK(c.extra_channels[0][0][0][0].item<double>() == 1.0);
  CHECK(c.extra_channels[3][0][0][0].item<double>() == 2.0);
  CHECK(batch_of(*set, {1}, /*guided=*/false).conditions.context.size(0) == 1);
}

TEST_CASE("items of one batch have the first one's shape") {
  const auto set = told_set();
  set->items.push_back(set->items[0]);
  set->items[1].latent = at::zeros({4, 8, 6}, at::kBFloat16);
  CHECK(items_of_one_shape(*set, 9, 1) == std::vector<int64_t>{0, 2});
  CHECK(items_of_one_shape(*set, 1, 1) == std::vector<int64_t>{0});
  CHECK(items_of_one_shape(*set, 9, 2) == std::vector<int64_t>{0, 2});
}

TEST_CASE("the network of a loss is told what it is told when it draws") {
  const auto set = told_set();
  TrainConfig config;
  config.mixed_precision = "no";
  config.train_batch_size = 2;
  config.caption_dropout_rate = 0;
  config.control_dropout_rate = 1;
  diffusion::Conditions told;
  const DenoiserCall net = [&](const at::Tensor& x, const at::Tensor& t,
                               const diffusion::Conditions& conditions) {
    CHECK(x.sizes() == at::IntArrayRef({2, 4, 8, 8}));
    CHECK(t.sizes() == at::IntArrayRef({2}));
    told = conditions;
    return at::zeros_like(x);
  };
  const diffusion::Schedule schedule;
  const LossFunction loss = denoiser_loss(config, schedule, loss_config_of(config), {net}, set);
  CHECK(loss({0, 0, 0, 2}).item<double>() > 0);
  CHECK(told.context.size(0) == 2);
  CHECK((told.context.scalar_type() == at::kFloat));
  CHECK(told.context_mask.any(1).all().item<bool>());
  CHECK(told.extra_channels.abs().max().item<double>() == 0.0);  // every control is dropped
  CHECK(!told.pictures.defined());
  // With every picture dropped, none is seen.
  for (LatentItem& item : set->items) {
    item.picture = [] { return at::ones({3, 4, 4}, at::kBFloat16); };
  }
  config.caption_dropout_rate = 1;
  denoiser_loss(config, schedule, loss_config_of(config), {net}, set)({0, 0, 0, 2});
  CHECK(!told.context.defined());
  CHECK(told.pictures.sizes() == at::IntArrayRef({2, 3, 4, 4}));
  CHECK(!told.context_mask.any().item<bool>());
}

TEST_CASE("a distilled denoiser learns what its teacher draws with guidance, not the latents") {
  TrainConfig config;
  config.mixed_precision = "no";
  config.loss_weighting = "none";
  config.prediction_type = "v_prediction";
  config.train_batch_size = 2;
  config.caption_dropout_rate = 0;
  config.distillation_phases = 1;
  config.num_ddim_timesteps = 1;  // the next point is the edge, so that the teacher alone is heard
  config.distillation_guidance = 4;
  const DenoiserCall student = [](const at::Tensor& x, const at::Tensor&,
                                  const diffusion::Conditions&) { return at::zeros_like(x); };
  int64_t questions = 0;
  const DenoiserCall teacher = [&](const at::Tensor& x, const at::Tensor& t,
                                   const diffusion::Conditions& told) {
    ++questions;
    CHECK(t.min().item<double>() == 999);
    const bool has_caption = told.context.abs().max().item<double>() > 0;
    return at::full_like(x, has_caption ? 2 : 1);
  };
  const LossFunction loss = denoiser_loss(config, diffusion::Schedule(), loss_config_of(config),
                                          {student}, told_set(), nullptr, {teacher});
  // Two samples, whose predictions should be 1 + 4 (2 - 1).
  CHECK(loss({0, 0, 0, 2}).item<double>() == doctest::Approx(2 * 25).epsilon(1e-4));
  CHECK(questions == 2);
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
    set->captions.states = {at::zeros({1, 3}, at::kBFloat16)};
    // Wrong by the same everywhere but for the noise, which is one for all masks.
    const DenoiserCall zero = [](const at::Tensor& x, const at::Tensor&,
                                 const diffusion::Conditions&) { return at::zeros_like(x); };
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

TEST_CASE("what is read ahead of a step does not change its loss, in any order of slices") {
  TrainConfig config;
  config.train_batch_size = 4;
  config.mixed_precision = "no";
  const auto set = told_set();
  const DenoiserCall half = [](const at::Tensor& x, const at::Tensor&,
                               const diffusion::Conditions& c) {
    return x * 0.5 + c.context.to(at::kFloat).mean();
  };
  const auto wait = std::make_shared<DataWait>();
  const auto loss_at_batch = [&](const LossFunction& loss, int64_t batch, int64_t first) {
    return loss({.replica = 0, .batch = batch, .first = first, .count = 2}).item<double>();
  };
  const auto loss = denoiser_loss(config, schedule_of(config), loss_config_of(config), {half}, set);
  std::vector<double> forwards, backwards(8);
  for (int64_t b = 0; b < 4; ++b) {
    for (const int64_t first : {0, 2}) forwards.push_back(loss_at_batch(loss, b, first));
  }
  const auto other =
      denoiser_loss(config, schedule_of(config), loss_config_of(config), {half}, set, wait);
  for (int64_t b = 3; b >= 0; --b) {
    for (const int64_t first : {2, 0}) {
      backwards[static_cast<size_t>(b * 2 + first / 2)] = loss_at_batch(other, b, first);
    }
  }
  CHECK(forwards == backwards);
  CHECK(forwards[0] != forwards[2]);
  CHECK(wait->seconds() > 0.0);
}

TEST_CASE("a batch tells pooled text and sizes, and no mask where all captions are filled up") {
  auto set = std::make_shared<LatentSet>();
  for (int32_t i = 0; i < 2; ++i) {
    LatentItem& item = set->items.emplace_back();
    item.latent = at::full({4, 8, 8}, 0.5);
    item.captions = {{i + 1}};
    item.size_numbers = at::full({6}, 1025.0 + i);
  }
  for (int64_t i = 0; i < 3; ++i) {
    set->captions.states.push_back(at::full({3, 3}, double(i)));
    set->captions.pooled.push_back(at::full({1}, double(i)));
  }
  set->captions.are_filled_up = true;
  const diffusion::Conditions c = batch_of(*set, {1, 0}, /*guided=*/true).conditions;
  CHECK(!c.context_mask.defined());
  CHECK(c.context.sizes() == at::IntArrayRef({4, 3, 3}));
  CHECK(at::equal(c.pooled.flatten(), at::tensor({0.0F, 0.0F, 2.0F, 1.0F})));
  CHECK(c.size_numbers[2][0].item<double>() == 1026.0);
  CHECK(c.size_numbers.sizes() == at::IntArrayRef({4, 6}));
  set->captions.states[1] = at::zeros({2, 3});
  CHECK(batch_of(*set, {0, 1}, /*guided=*/false).conditions.context_mask.defined());
}

}  // namespace
}  // namespace pangu::train
