#include "pipeline/families/clip_reader.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

namespace pangu::pipeline {
namespace {

TEST_CASE("emphasis scales tokens by their weights and gives each chunk its mean back") {
  // Two chunks of two tokens. In the first the mean is 2.5 before and (1 + 2 + 6 + 8) / 4 = 4.25
  // with the second token doubled, so that all is scaled by 2.5 / 4.25 = 10 / 17.
  const at::Tensor states = at::tensor({1.0, 2.0, 3.0, 4.0, -1.0, 5.0, 0.0, 8.0}).view({2, 2, 2});
  const at::Tensor weights = at::tensor({1.0, 2.0, 1.0, 1.0}).view({2, 2});
  const at::Tensor got = emphasised(states, weights);
  const at::Tensor first = at::tensor({10.0, 20.0, 60.0, 80.0}).view({2, 2}) / 17.0;
  CHECK(at::allclose(got[0], first, 1e-6));
  CHECK(at::equal(got[1], states[1]));  // which no weight touches
  CHECK(at::equal(emphasised(states, at::ones({2, 2})), states));
}

}  // namespace
}  // namespace pangu::pipeline
