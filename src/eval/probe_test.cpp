// Tests probes on problems whose answer is known.
#include "eval/probe.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/error.h"

namespace pangu::eval {
namespace {

// Returns rows around one corner of a simplex for each class; `spread` 0 makes the rows of a class
// exactly equal.
std::pair<at::Tensor, at::Tensor> corners(int64_t classes, int64_t each, double spread,
                                          uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor labels = at::arange(classes).repeat_interleave(each);
  const at::Tensor noise = at::randn({classes * each, classes}, generator);
  return {at::one_hot(labels, classes).to(at::kFloat) * 10 + spread * noise, labels};
}

TEST_CASE("a probe separates what is separable, on rows that it has not seen") {
  const auto [x, y] = corners(7, 20, 0.5, 1);
  const auto [unseen_x, unseen_y] = corners(7, 30, 0.5, 2);
  const Probe probe = Probe::fit(x, y, 7);
  CHECK(accuracy(probe.log_probabilities(unseen_x), unseen_y) == Accuracy{210, 210, 210});
  CHECK(at::allclose(probe.log_probabilities(unseen_x).exp().sum(1), at::ones({210})));
  SUBCASE("and the same rows give the same probe") {
    CHECK(at::equal(Probe::fit(x, y, 7).log_probabilities(unseen_x),
                    probe.log_probabilities(unseen_x)));
  }
}

TEST_CASE("a probe of labels without reason guesses no better than chance on unseen rows") {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const at::Tensor x = at::randn({400, 10}, generator), unseen = at::randn({2000, 10}, generator);
  const at::Tensor y = at::arange(400) % 4, unseen_y = at::arange(2000) % 4;
  const Accuracy found = accuracy(Probe::fit(x, y, 4).log_probabilities(unseen), unseen_y);
  CHECK(found.top1_share() > 0.20);
  CHECK(found.top1_share() < 0.30);
}

TEST_CASE("with two classes and one feature the probe is the optimum of logistic regression") {
  // Features -1 and 1 are already standard. With weights w and -w the loss is
  // log(1 + exp(-2w)) + l2 w^2, whose derivative is zero at the optimum.
  const at::Tensor x = at::tensor({-1.0f, 1.0f}).unsqueeze(1), y = at::tensor({0L, 1L});
  const double l2 = 0.1;
  const at::Tensor p = Probe::fit(x, y, 2, {.l2 = l2, .max_iterations = 200}).log_probabilities(x);
  const double w = (p[1][1] - p[1][0]).item<double>() / 2;
  CHECK(w > 0.5);
  CHECK(std::abs(-2 / (1 + std::exp(2 * w)) + 2 * l2 * w) < 1e-3);
}

TEST_CASE("accuracies are counted exactly, ties to the label's disadvantage") {
  const at::Tensor scores = at::tensor({9.f, 8.f, 7.f, 6.f, 5.f, 4.f, 3.f,  //
                                        9.f, 8.f, 7.f, 6.f, 5.f, 4.f, 3.f,  //
                                        9.f, 8.f, 7.f, 6.f, 5.f, 4.f, 3.f,  //
                                        1.f, 1.f, 1.f, 1.f, 1.f, 1.f, 1.f})
                                .view({4, 7});
  const at::Tensor labels = at::tensor({0L, 4L, 5L, 0L});
  CHECK(at::equal(ranks(scores, labels), at::tensor({0L, 4L, 5L, 6L})));
  CHECK(accuracy(scores, labels) == Accuracy{4, 1, 2});
  CHECK(accuracy(at::empty({0, 7}), at::empty({0}, at::kLong)) == Accuracy{});
}

TEST_CASE("a probe of nothing or of one class is refused") {
  CHECK_THROWS_AS(Probe::fit(at::empty({0, 3}), at::empty({0}, at::kLong), 2), Error);
  CHECK_THROWS_AS(Probe::fit(at::zeros({2, 3}), at::zeros({2}, at::kLong), 1), Error);
  CHECK_THROWS_AS(Probe::fit(at::zeros({2, 3}), at::tensor({0L, 2L}), 2), Error);
}

}  // namespace
}  // namespace pangu::eval
