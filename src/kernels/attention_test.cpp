#include "kernels/attention.h"

#include <doctest/doctest.h>

#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/attention_testing.h"

using namespace pangu::kernels;

namespace {

using Case = AttentionCase;

std::vector<Level> levels_with_kernels() {
  return levels_here(
      {Level::kAvx2, Level::kAvx512, Level::kAvx512Bf16, Level::kAmxEmulated, Level::kAmx});
}

// The kernel rounds weights and results to bf16, whose neighbours are 1/128 to 1/256 of a number
// apart: an error of 1.7e-3 by root mean square each, of 2.4e-3 together.
constexpr double kRounding = 2.5e-3;

}  // namespace

TEST_CASE("plain attention mixes the values by the softmax of the scores") {
  Case c(1, 1, 1, 2, 2);
  for (const auto& [to, numbers] :
       {std::pair{&c.q, std::vector{1.0f, 0.0f}}, std::pair{&c.k, std::vector{0.0f, 0.0f}},
        std::pair{&c.v, std::vector{4.0f, 8.0f}}}) {
    for (size_t i = 0; i < 2; ++i) (*to)[i] = to_bf16(numbers[i]);
  }
  c.k[8] = to_bf16(std::sqrt(2.0f) * std::log(3.0f)),
  c.k[9] = 0;  // the second key: 3 times the weight
  c.v[8] = to_bf16(0), c.v[9] = to_bf16(0);
  const std::vector<float> out = c.by_definition();
  CHECK(out[0] == doctest::Approx(1).epsilon(0.01));
  CHECK(out[1] == doctest::Approx(2).epsilon(0.01));
}

TEST_CASE("attention's kernels give what the definition gives, at every shape") {
  struct Shape {
    int64_t batch, heads, queries, keys, width;
  };
  for (const Level level : levels_with_kernels()) {
    for (const Shape s :
         {Shape{1, 1, 1, 1, 2}, Shape{2, 3, 7, 5, 40}, Shape{1, 2, 100, 77, 64},
          Shape{2, 2, 97, 600, 80}, Shape{1, 1, 30, 1100, 160}, Shape{1, 1, 50, 333, 512},
          Shape{1, 8, 64, 64, 40}, Shape{1, 1, 13, 513, 46}, Shape{1, 1, 25, 17, 162},
          Shape{1, 2, 33, 154, 128}, Shape{1, 1, 17, 154, 40}, Shape{1, 3, 47, 4096, 40},
          Shape{1, 1, 49, 264, 6}}) {
      for (const bool biased : {false, true}) {
        Case c(s.batch, s.heads, s.queries, s.keys, s.width);
        if (biased) c.add_bias();
        REQUIRE(attention_fits(c.p, level));
        CAPTURE(s.queries);
        CAPTURE(s.keys);
        CAPTURE(s.width);
        CAPTURE(biased);
        const std::vector<uint16_t> fast = c.by_kernel(level);
        CHECK(distance(fast, c.by_definition()) < kRounding);
      }
    }
  }
}

TEST_CASE("attention's result does not depend on how its tasks are shared out") {
  for (const Level level : levels_with_kernels()) {
    Case c(2, 3, 200, 530, 40);
    CHECK(c.by_kernel(level) == c.by_kernel(level, /*task_by_task=*/true));
  }
}

TEST_CASE("attention's kernels stay finite for scores of thousands, and follow the greatest one") {
  for (const Level level : levels_with_kernels()) {
    Case c(1, 1, 64, 700, 64, 40);  // scores of some 10,000
    const std::vector<uint16_t> fast = c.by_kernel(level);
    bool finite = true;
    for (const uint16_t number : fast) finite &= std::isfinite(from_bf16(number));
    CHECK(finite);
    CHECK(distance(fast, c.by_definition()) < kRounding);
  }
}

TEST_CASE("attention's kernels correct their sums whenever a key counts for more than all before") {
  // The scores of one query rise from key to key, those of the other fall.
  for (const Level level : levels_with_kernels()) {
    for (const float step : {0.01f, 0.3f, 20.0f}) {
      Case c(1, 1, 2, 600, 2);
      for (int64_t key = 0; key < 600; ++key) {
        c.k[size_t(key * c.p.k_row)] = to_bf16(step * float(key));
        c.k[size_t(key * c.p.k_row + 1)] = to_bf16(step * float(600 - key));
      }
      for (int64_t i = 0; i < 2; ++i) {
        c.q[size_t(i * c.p.q_row)] = to_bf16(float(1 - i));
        c.q[size_t(i * c.p.q_row + 1)] = to_bf16(float(i));
      }
      CAPTURE(step);
      const std::vector<uint16_t> fast = c.by_kernel(level);
      // Two keys may share all weight, and one weight in bf16 is off by up to 1/512 of itself.
      CHECK(distance(fast, c.by_definition()) < 1.0 / 256);
    }
  }
}

TEST_CASE("a query for which no key counts gets zeros, and a not-a-number stays one") {
  for (const Level level : levels_with_kernels()) {
    Case none(1, 1, 6, 20, 16);
    none.bias.assign(20, -kInfinity);
    none.p.bias = none.bias.data();
    CHECK(none.by_kernel(level) == std::vector<uint16_t>(6 * 16, 0));
    CHECK(none.by_definition() == std::vector<float>(6 * 16, 0));
    Case broken(1, 1, 6, 20, 16);
    broken.v[3] = to_bf16(std::nanf(""));
    CHECK(std::isnan(from_bf16(broken.by_kernel(level)[3])));
    CHECK(std::isfinite(from_bf16(broken.by_kernel(level)[4])));
    broken.q[0] = to_bf16(std::nanf(""));
    CHECK(std::isnan(from_bf16(broken.by_kernel(level)[4])));
  }
}

TEST_CASE("attention's kernels tell the logarithms of their sums") {
  for (const Level level : levels_with_kernels()) {
    for (const bool biased : {false, true}) {
      Case c(2, 3, 50, 300, 40);
      if (biased) c.add_bias();
      std::vector<float> log_sums(2 * 3 * 50);
      c.p.log_sums = log_sums.data();
      c.by_kernel(level);
      double most = 0;
      for (int64_t row = 0; row < 2 * 3 * 50; ++row) {
        const int64_t b = row / 150, h = row / 50 % 3, i = row % 50;
        double sum = 0;
        for (int64_t key = 0; key < 300; ++key) {
          double score = 0;
          for (int64_t n = h * 40; n < (h + 1) * 40; ++n) {
            score += double{from_bf16(c.q[size_t(b * c.p.q_batch + i * c.p.q_row + n)])} *
                     from_bf16(c.k[size_t(b * c.p.k_batch + key * c.p.k_row + n)]);
          }
          sum += std::exp(score * c.p.scale + (biased ? c.bias[size_t(b * 300 + key)] : 0));
        }
        most = std::max(most, std::fabs(std::log2(sum) - double{log_sums[size_t(row)]}));
      }
      CHECK(most < 2e-3);  // weights of bf16 are summed up
    }
  }
}
