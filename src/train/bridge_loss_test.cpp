// The loss of learned bridges: a pure function, blind to directions that a pair does not serve, and
// what a linear relation is learned by.
#include "train/bridge_loss.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/testing.h"

namespace pangu::train {
namespace {

// B is twice A's channels in reverse.
std::vector<LatentPair> linear_pairs(int count) {
  torch::manual_seed(4);
  std::vector<LatentPair> pairs;
  for (int i = 0; i < count; ++i) {
    const int64_t side = i % 2 ? 4 : 6;
    const at::Tensor a = at::randn({2, side, side});
    pairs.push_back({a, at::flip(a, {0}) * 2});
  }
  return pairs;
}

BridgeCalls::Convert reversed(double factor) {
  return [=](const at::Tensor& x, int64_t, int64_t) { return at::flip(x, {1}) * factor; };
}

TrainConfig config_of(int64_t batch) {
  TrainConfig c;
  c.train_batch_size = batch;
  c.seed = 11;
  return c;
}

double loss_of(const std::vector<LatentPair>& pairs, const BridgeCalls& calls, Slice slice) {
  return bridge_loss(config_of(8), {calls}, pairs, statistics_of(linear_pairs(20)))(slice)
      .item<double>();
}

TEST_CASE("statistics are those of every channel") {
  const at::Tensor a = at::tensor({1.0f, 3.0f, 5.0f, 5.0f}).reshape({2, 1, 2});
  const auto [from, to] = statistics_of({{a, a * 2}});
  CHECK(from.mean == std::vector<double>{2.0, 5.0});
  CHECK(from.std[0] == doctest::Approx(1.0));
  CHECK(from.std[1] > 0.0);  // of a channel that never changes
  CHECK(to.std[0] == doctest::Approx(2.0));
}

TEST_CASE("true converters lose nothing, others in units of the target's deviation") {
  const auto pairs = linear_pairs(20);
  CHECK(loss_of(pairs, {reversed(2.0), reversed(0.5)}, {0, 3, 0, 8}) == doctest::Approx(0.0));
  const auto zero = [](const at::Tensor& x, int64_t, int64_t) { return x * 0; };
  const double forth = loss_of(pairs, {zero, reversed(0.5)}, {0, 3, 0, 8});
  const double back = loss_of(pairs, {reversed(2.0), zero}, {0, 3, 0, 8});
  CHECK(forth / 8 == doctest::Approx(1.0).epsilon(0.25));
  CHECK(back / 8 == doctest::Approx(1.0).epsilon(0.25));
}

TEST_CASE("slices of a batch add up to the batch, whoever computes them") {
  const auto pairs = linear_pairs(20);
  const BridgeCalls calls{reversed(1.0), reversed(1.0)};
  const double whole = loss_of(pairs, calls, {0, 5, 0, 8});
  const double parts = loss_of(pairs, calls, {0, 5, 0, 3}) + loss_of(pairs, calls, {0, 5, 3, 5});
  CHECK(parts == doctest::Approx(whole));
  CHECK(loss_of(pairs, calls, {0, 6, 0, 8}) != doctest::Approx(whole));
}

TEST_CASE("a pair counts only in the direction that it serves") {
  auto pairs = linear_pairs(20);
  for (LatentPair& pair : pairs) {
    pair.a_to_b = false;
    pair.b = pair.b * 0;
  }
  const auto zero = [](const at::Tensor& x, int64_t, int64_t) { return x * 0; };
  const auto never = [](const at::Tensor&, int64_t, int64_t) -> at::Tensor {
    throw std::logic_error("asked for a direction without pairs");
  };
  CHECK(loss_of(pairs, {never, zero}, {0, 0, 0, 8}) > 0.0);
  for (LatentPair& pair : pairs) pair.b_to_a = false;
  CHECK(contains(refusal_of([&] { loss_of(pairs, {never, zero}, {0, 0, 0, 8}); }), "direction"));
  CHECK(contains(refusal_of([&] { statistics_of({}); }), "pairs"));
}

}  // namespace
}  // namespace pangu::train
