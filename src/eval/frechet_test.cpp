// Frechet distances that have a closed form.
#include "eval/frechet.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/error.h"

namespace pangu::eval {
namespace {

// [2F,F] rows of mean `mean` and covariance exactly diag(variance): +-c e_k for every axis k.
at::Tensor cross_rows(const at::Tensor& mean, const at::Tensor& variance) {
  const int64_t n = mean.size(0);
  const at::Tensor c = (variance * (2.0 * double(n) - 1) / 2).sqrt();
  return at::cat({at::diag(c), at::diag(-c)}) + mean;
}

TEST_CASE("two Gaussians with commuting covariances have the distance of the closed form") {
  const auto f64 = at::TensorOptions(at::kDouble);
  const at::Tensor m1 = at::tensor({1.0, 2.0, 3.0}, f64), m2 = at::tensor({0.0, 4.0, 3.5}, f64);
  const at::Tensor v1 = at::tensor({4.0, 1.0, 0.25}, f64), v2 = at::tensor({1.0, 9.0, 0.25}, f64);
  const double expected =
      ((m1 - m2).square().sum() + (v1.sqrt() - v2.sqrt()).square().sum()).item<double>();
  const double found = frechet_distance(cross_rows(m1, v1), cross_rows(m2, v2));
  CHECK(found == doctest::Approx(expected).epsilon(1e-12));
  SUBCASE("which no rotation changes") {
    const at::Tensor turn = std::get<0>(at::linalg_qr(
        at::tensor({1.0, 2.0, 0.0, -1.0, 1.0, 3.0, 0.5, 0.0, 1.0}, f64).view({3, 3})));
    CHECK(frechet_distance(cross_rows(m1, v1).matmul(turn), cross_rows(m2, v2).matmul(turn)) ==
          doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("covariances that do not commute agree with the eigenvalues of their product") {
  torch::manual_seed(5);
  const at::Tensor a = at::randn({60, 4}, at::kDouble),
                   b = at::randn({50, 4}, at::kDouble).matmul(at::randn({4, 4}, at::kDouble));
  const at::Tensor product = at::cov(a.t()).matmul(at::cov(b.t()));
  const double root = at::real(at::linalg_eigvals(product)).sqrt().sum().item<double>();
  const double expected = (a.mean(0) - b.mean(0)).square().sum().item<double>() +
                          at::cov(a.t()).trace().item<double>() +
                          at::cov(b.t()).trace().item<double>() - 2 * root;
  CHECK(frechet_distance(a, b) == doctest::Approx(expected).epsilon(1e-9));
}

TEST_CASE("a set is at no distance from itself and at the same distance both ways") {
  torch::manual_seed(6);
  const at::Tensor few = at::randn({5, 40}), others = at::randn({9, 40}) + 0.5;  // rank-deficient
  CHECK(frechet_distance(few, few) < 1e-9);
  CHECK(frechet_distance(few, others) > 1);
  CHECK(frechet_distance(few, others) == doctest::Approx(frechet_distance(others, few)));
}

TEST_CASE("a single picture has no covariance and is refused") {
  CHECK_THROWS_WITH_AS(frechet_distance(at::zeros({1, 3}), at::zeros({4, 3})),
                       doctest::Contains("two pictures"), Error);
}

}  // namespace
}  // namespace pangu::eval
