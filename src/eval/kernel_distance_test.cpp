// Compares KID with torch-fidelity 0.4.0's kid_features_to_metric, and with its definition.
#include "eval/kernel_distance.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

namespace pangu::eval {
namespace {

TEST_CASE("KID and its deviation over the same subsets are torch-fidelity's") {
  const at::Tensor i = at::arange(15, at::kDouble).unsqueeze(1), j = at::arange(6, at::kDouble);
  const at::Tensor x = at::sin(i.slice(0, 0, 12) * 0.37 * (j + 1));
  const at::Tensor y = at::cos(i * 0.21 * (j + 2)) + 0.1;
  const Spread found = kernel_distance(x, y, {3, 5, kScoreSeed});
  CHECK(found.mean == doctest::Approx(0.10023502534114177).epsilon(1e-10));
  CHECK(found.deviation == doctest::Approx(0.1703835955783257).epsilon(1e-10));
}

TEST_CASE("the discrepancy is unbiased: sets of one distribution are as often below 0 as above") {
  torch::manual_seed(3);
  int below = 0;
  for (int i = 0; i < 200; ++i) {
    below += squared_discrepancy(at::randn({10, 4}), at::randn({10, 4})) < 0;
  }
  CHECK(below > 80);
  CHECK(below < 160);
  CHECK(squared_discrepancy(at::randn({10, 4}), at::randn({10, 4}) + 2) > 1);
}

TEST_CASE("sets smaller than a subset have no KID") {
  CHECK(std::isnan(kernel_distance(at::zeros({4, 3}), at::zeros({9, 3}), {2, 5, 0}).mean));
  CHECK(std::isnan(kernel_distance(at::zeros({9, 3}), at::zeros({4, 3}), {2, 5, 0}).mean));
}

}  // namespace
}  // namespace pangu::eval
