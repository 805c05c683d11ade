// Bytes and hours of shared trainings, against figures added up by hand and against the layout that
// a training really has.
#include "train/device_cost.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "train/flat_layout.h"

namespace pangu::train {
namespace {

constexpr double kGenerator = 2.57e9;  // parameters of a generator of PanGu-Draw 3

TrainConfig usual() {
  TrainConfig config;  // bf16, AdamW
  config.use_ema = true;
  return config;
}

TEST_CASE("a device alone has eighteen bytes a parameter, or others as the settings say") {
  TrainConfig config = usual();
  // Weight 2, gradient 2, other half of the master 2, moments 8, average 4.
  CHECK(state_bytes(config, 1e9, {}) == doctest::Approx(18e9));
  config.gradient_accumulation_steps = 2;
  CHECK(state_bytes(config, 1e9, {}) == doctest::Approx(22e9));
  config.gradient_accumulation_steps = 1;
  config.use_ema = false;
  CHECK(state_bytes(config, 1e9, {}) == doctest::Approx(14e9));
  // The row of docs/training.md's table of memory: weight 2, half of the master 2, moments 2 and
  // their scales.
  config.optimizer = "adamw8bit";
  config.fused_backward_pass = true;
  CHECK(state_bytes(config, 1e9, {}) == doctest::Approx(6e9).epsilon(0.01));
  config = usual();
  config.mixed_precision = "no";  // weight 4, gradient 4, moments 8, average 4
  CHECK(state_bytes(config, 1e9, {}) == doctest::Approx(20e9));
  config.optimizer = "muon";
  CHECK(state_bytes(config, 1e9, {}) == doctest::Approx(16e9));
  CHECK(sent_bytes(config, 1e9, {}) == 0.0);
}

TEST_CASE("stages divide what docs/training.md says they divide") {
  const TrainConfig config = usual();
  const double p = kGenerator;
  // 2 P of weights; 14 P of masters' halves, moments and average; 4 P of sums.
  CHECK(state_bytes(config, p, {8, 0}) == doctest::Approx(20 * p));
  CHECK(state_bytes(config, p, {8, 1}) == doctest::Approx((2 + 14.0 / 8 + 4) * p));
  CHECK(state_bytes(config, p, {8, 2}) == doctest::Approx((2 + 18.0 / 8) * p));
  CHECK(state_bytes(config, p, {512, 2}) == doctest::Approx(5.2303e9).epsilon(1e-4));
  // 7/8 of 8 P, of 8 P + 2 P, of 4 P + 2 P.
  CHECK(sent_bytes(config, p, {8, 0}) == doctest::Approx(17.99e9));
  CHECK(sent_bytes(config, p, {8, 1}) == doctest::Approx(22.4875e9));
  CHECK(sent_bytes(config, p, {8, 2}) == doctest::Approx(13.4925e9));
  TrainConfig often = config;
  often.gradient_accumulation_steps = 3;  // of which stage 2 sends every one
  CHECK(sent_bytes(often, p, {8, 0}) == doctest::Approx(17.99e9));
  CHECK(sent_bytes(often, p, {8, 2}) == doctest::Approx(7.0 / 8 * (12 + 2) * p));
}

TEST_CASE("what cannot be trained so is not planned") {
  TrainConfig config = usual();
  for (const int stage : {0, 1, 2}) CHECK(can_share(config, {8, stage}));
  config.optimizer = "muon";
  CHECK(can_share(config, {8, 1}));
  CHECK(!can_share(config, {8, 2}));
  config.optimizer = "adamw8bit";
  CHECK(can_share(config, {8, 0}));
  CHECK(!can_share(config, {8, 1}));
  config.fused_backward_pass = true;
  CHECK(can_share(config, {1, 0}));
  CHECK(!can_share(config, {8, 0}));
}

TEST_CASE("hours fall with the devices, but for what is assumed of many") {
  // 3.6e9 GFLOP at 1e5 GFLOP a second: 10 hours.
  CHECK(hours_of(3.6e9, 1e5, {1, 0}, 0.25) == doctest::Approx(10));
  CHECK(hours_of(3.6e9, 1e5, {8, 0}, 0.0) == doctest::Approx(1.25));
  CHECK(hours_of(3.6e9, 1e5, {8, 2}, 0.25) == doctest::Approx(1.5625));
}

TEST_CASE("the layout of a training divides as the formula, but for what fills up") {
  NamedTensors params;
  int64_t count = 0;
  for (int i = 0; i < 12; ++i) {
    params.emplace_back("p" + std::to_string(i), at::zeros({100 + 37 * i, 97}, at::kBFloat16));
    count += params.back().second.numel();
  }
  constexpr int kProcesses = 4;
  const FlatLayout layout(params, kProcesses, 1 << 18);
  int64_t filled = 0, most = 0;
  for (const FlatBucket& bucket : layout.buckets()) filled += bucket.size;
  for (int rank = 0; rank < kProcesses; ++rank) {
    int64_t own = 0;
    for (size_t i = 0; i < params.size(); ++i) own += layout.part_of(i, rank).count();
    most = std::max(most, own);
  }
  // At most 255 numbers a parameter, and 255 a process of every bucket.
  const auto buckets = static_cast<int64_t>(layout.buckets().size());
  CHECK(filled - count < 255 * (12 + kProcesses * buckets) + 1);
  TrainConfig config = usual();
  const double divided = state_bytes(config, double(count), {kProcesses, 2}) - 2 * double(count);
  CHECK(18 * double(most) >= divided);
  CHECK(18 * double(most) <= divided + 18 * double(filled - count));
}

}  // namespace
}  // namespace pangu::train
