#include "kernels/attention.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/testing.h"

using namespace pangu::kernels;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<Level> levels_with_kernels() {
  return levels_here(
      {Level::kAvx2, Level::kAvx512, Level::kAvx512Bf16, Level::kAmxEmulated, Level::kAmx});
}

// Normal numbers; rows are further apart than they are long, as slices of a wider tensor are.
struct Case {
  AttentionProblem p;
  std::vector<uint16_t> q, k, v, out;
  std::vector<float> bias;

  Case(int64_t batch, int64_t heads, int64_t queries, int64_t keys, int64_t width,
       float deviation = 1) {
    std::mt19937 random(static_cast<unsigned>(queries * 31 + keys));
    std::normal_distribution<float> normal(0, deviation);
    const int64_t row = heads * width + 6;
    const auto fill = [&](std::vector<uint16_t>& numbers, int64_t rows) {
      numbers.resize(static_cast<size_t>(batch * rows * row));
      for (uint16_t& number : numbers) number = to_bf16(normal(random));
      return numbers.data();
    };
    p.batch = batch, p.heads = heads, p.queries = queries, p.keys = keys, p.width = width;
    p.q = fill(q, queries), p.k = fill(k, keys), p.v = fill(v, keys);
    p.q_row = p.k_row = p.v_row = row;
    p.q_batch = queries * row, p.k_batch = p.v_batch = keys * row;
    p.scale = 1 / std::sqrt(static_cast<float>(width));
    out.resize(static_cast<size_t>(batch * queries * heads * width));
    p.out = out.data();
  }

  // Every third key but the first does not count, the others do by as much as they like.
  void add_bias() {
    for (int64_t i = 0; i < p.batch * p.keys; ++i) {
      bias.push_back(i % p.keys % 3 == 2 ? -kInfinity : 0.1f * static_cast<float>(i % 7));
    }
    p.bias = bias.data();
  }

  std::vector<uint16_t> by_kernel(Level level, bool task_by_task = false) {
    std::fill(out.begin(), out.end(), uint16_t{0x7fc0});
    const auto packed = aligned_numbers<uint16_t>(attention_packed_size(p, level));
    const int64_t packs = attention_pack_tasks(p), runs = attention_run_tasks(p, level);
    if (task_by_task) {
      for (int64_t i = packs; i-- > 0;) attention_pack(p, packed.get(), i, i + 1, level);
      for (int64_t i = runs; i-- > 0;) attention_run(p, packed.get(), i, i + 1, level);
    } else {
      attention_pack(p, packed.get(), 0, packs, level);
      attention_run(p, packed.get(), 0, runs, level);
    }
    return out;
  }

  std::vector<float> by_definition() const {
    std::vector<float> exact(out.size());
    plain_attention(p, exact.data());
    return exact;
  }
};

// Length of the difference in units of the length.
double distance(const std::vector<uint16_t>& a, const std::vector<float>& b) {
  double difference = 0, length = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{from_bf16(a[i])} - double{b[i]}, 2);
    length += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / length);
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
