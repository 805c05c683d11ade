#include "diffusion/conditions.h"

#include <doctest/doctest.h>
#include <torch/types.h>

using namespace pangu::diffusion;

TEST_CASE("rows of conditions are picked from every tensor that is there, from no other") {
  Conditions c;
  c.context = at::arange(12, at::kFloat).view({3, 2, 2});
  c.context_mask = at::tensor({1, 1, 0, 1, 1, 0}, at::kByte).to(at::kBool).view({3, 2});
  const Conditions picked = c.rows({2, 0, 2});
  CHECK(at::equal(picked.context[0], c.context[2]));
  CHECK(at::equal(picked.context[1], c.context[0]));
  CHECK(at::equal(picked.context_mask[2], c.context_mask[2]));
  CHECK(!picked.pooled.defined());
  CHECK(!picked.extra_channels.defined());
}

TEST_CASE("conditions in another type keep their mask, their ids and their size numbers") {
  Conditions c;
  c.context = c.pooled = at::ones({1, 2});
  c.context_mask = at::ones({1, 2}, at::kBool);
  c.size_numbers = at::full({1, 1}, 1025.0F);
  c.token_ids = at::full({1, 1, 1}, 49407, at::kLong);
  const Conditions half = c.to(at::kCPU, at::kBFloat16);
  CHECK((half.context.scalar_type() == at::kBFloat16));
  CHECK((half.pooled.scalar_type() == at::kBFloat16));
  CHECK((half.context_mask.scalar_type() == at::kBool));
  CHECK(half.size_numbers.item<float>() == 1025.0F);
  CHECK(half.token_ids.item<int64_t>() == 49407);
}

TEST_CASE("several conditions are interleaved row by row") {
  Conditions a, b;
  a.context = at::tensor({0.0F, 1.0F}).view({2, 1});
  b.context = at::tensor({10.0F, 11.0F}).view({2, 1});
  CHECK(at::equal(interleaved({a, b}).context.flatten(), at::tensor({0.0F, 10.0F, 1.0F, 11.0F})));
}
