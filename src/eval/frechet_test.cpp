// Tests Frechet distances that have a closed form.
#include "eval/frechet.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/error.h"

namespace pangu::eval {
namespace {

// Returns [2F,F], rows with the mean `mean` and exactly the covariance diag(variance): +-c e_k for
// every axis k.
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

// |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2) computed from all rows at once by singular
// values of the centred rows.
double direct(const at::Tensor& a, const at::Tensor& b) {
  const auto rooted = [](const at::Tensor& x) {
    return (x - x.mean(0)) / std::sqrt(double(x.size(0) - 1));
  };
  const at::Tensor x = rooted(a), y = rooted(b);
  const at::Tensor all = (a.mean(0) - b.mean(0)).square().sum() + x.square().sum() +
                         y.square().sum() - 2 * at::linalg_svdvals(x.matmul(y.t())).sum();
  return all.item<double>();
}

TEST_CASE("many rows in parts have the distance of all rows at once, far from the origin too") {
  torch::manual_seed(7);
  for (const double centre : {0.0, 1e4}) {
    const at::Tensor a = at::randn({700, 12}, at::kDouble).matmul(at::randn({12, 12}, at::kDouble)),
                     b = at::randn({90, 12}, at::kDouble) * 2 + 0.3;
    const at::Tensor far_a = a + centre, far_b = b + centre;
    FeatureGaussian parts, whole;
    for (const at::Tensor& part : far_a.split(37)) parts.add(part);
    whole.add(far_b);
    // f64 has 16 digits. Around a centre that is 1e4 deviations away, 12 of them are left for the
    // differences, and 9 after squaring.
    CHECK(frechet_distance(parts, whole) == doctest::Approx(direct(a, b)).epsilon(1e-9));
    CHECK((parts.mean() - far_a.mean(0)).abs().max().item<double>() < 1e-11);
  }
}

TEST_CASE("a direction without any spread does not count, with more rows than features") {
  torch::manual_seed(8);
  const at::Tensor flat = at::randn({300, 5}, at::kDouble).matmul(at::randn({5, 20}, at::kDouble));
  CHECK(frechet_distance(flat, flat) < 1e-9);
  const at::Tensor other = at::randn({200, 20}, at::kDouble);
  CHECK(frechet_distance(flat, other) == doctest::Approx(direct(flat, other)).epsilon(1e-6));
}

TEST_CASE("what is kept of a set does not grow with its pictures") {
  FeatureGaussian set;
  const int64_t features = 16;
  int64_t most = 0;
  for (int i = 0; i < 400; ++i) {
    set.add(at::randn({75, features}));
    most = std::max(most, set.numbers_kept());
  }
  CHECK(set.count() == 30000);
  CHECK(most <= 2 * features * features + 2 * features);
  CHECK(set.root().sizes() == at::IntArrayRef({features, features}));
}

TEST_CASE("a single picture has no covariance and is refused") {
  CHECK_THROWS_WITH_AS(frechet_distance(at::zeros({1, 3}), at::zeros({4, 3})),
                       doctest::Contains("two pictures"), Error);
}

TEST_CASE("Gaussians of parts merge to that of all rows, whichever of them has been folded") {
  torch::manual_seed(9);
  const at::Tensor rows = at::randn({100, 8}, at::kDouble) * 3 + 1000;
  FeatureGaussian whole;
  whole.add(rows);
  for (const int64_t first : {1, 5, 50, 98}) {
    FeatureGaussian a, b;
    a.add(rows.slice(0, 0, first));
    b.add(rows.slice(0, first));
    a.add(b);
    a.add(FeatureGaussian());
    CAPTURE(first);
    CHECK(a.count() == 100);
    CHECK(at::allclose(a.mean(), whole.mean(), 1e-13));
    CHECK(at::allclose(a.covariance(), at::cov(rows.t()), 1e-9, 1e-9));
    CHECK(frechet_distance(a, whole) < 1e-7);
  }
}

TEST_CASE("a Gaussian of given moments has them, and contradicting ones are refused") {
  const at::Tensor rows = at::randn({40, 5}, at::kDouble);
  const FeatureGaussian found = FeatureGaussian::of_moments(rows.mean(0), at::cov(rows.t()));
  CHECK(at::allclose(found.covariance(), at::cov(rows.t())));
  FeatureGaussian added;
  added.add(rows);
  CHECK(frechet_distance(found, added) < 1e-9);
  CHECK_THROWS_AS(FeatureGaussian::of_moments(rows.mean(0), at::zeros({5, 4})), Error);
}

}  // namespace
}  // namespace pangu::eval
