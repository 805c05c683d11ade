// Compares the Inception Score with torch-fidelity 0.4.0's isc_features_to_metric.
#include "eval/inception_score.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "core/error.h"

namespace pangu::eval {
namespace {

at::Tensor wavy_logits(int64_t count) {
  return at::sin(at::arange(count, at::kDouble).unsqueeze(1) * 1.7 +
                 at::arange(5, at::kDouble) * 0.9) *
         3;
}

TEST_CASE("the Inception Score and its deviation are torch-fidelity's, in any batches and shards") {
  const at::Tensor logits = wavy_logits(23);
  InceptionScore a(23), b(23);
  a.add(0, logits.slice(0, 0, 1));
  a.add(1, logits.slice(0, 1, 9));
  b.add(9, logits.slice(0, 9));
  CHECK(std::isnan(a.score().mean));  // some splits have no picture yet
  a.add(b);
  // Sums of the same numbers in another order, in f64.
  CHECK(a.score().mean == doctest::Approx(1.441485984078).epsilon(1e-10));
  CHECK(a.score().deviation == doctest::Approx(0.3951690289142913).epsilon(1e-10));
}

TEST_CASE("pictures of no class score 1, pictures beyond the total are an error") {
  InceptionScore none(40);
  none.add(0, at::zeros({40, 5}));
  CHECK(none.score().mean == doctest::Approx(1.0));
  CHECK(none.score().deviation == doctest::Approx(0.0));
  CHECK_THROWS_AS(none.add(39, at::zeros({2, 5})), Error);
  CHECK_THROWS_AS(none.add(InceptionScore(41)), Error);
  CHECK(std::isnan(InceptionScore(5).score().mean));
}

}  // namespace
}  // namespace pangu::eval
