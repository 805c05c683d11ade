#include "kernels/attention.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/bf16.h"

using namespace pangu::kernels;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<Level> levels_with_kernels() {
  std::vector<Level> levels;
  if (machine_has(Level::kAvx512Bf16)) levels.push_back(Level::kAvx512Bf16);
  return levels;
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
    const size_t bytes = size_t(attention_packed_size(p)) * 2;
    const std::unique_ptr<uint16_t, void (*)(void*)> packed(
        static_cast<uint16_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), std::free);
    const int64_t packs = attention_pack_tasks(p), runs = attention_run_tasks(p);
    if (task_by_task) {
      for (int64_t i = packs; i-- > 0;) attention_pack(p, packed.get(), i, i + 1, level);
      for (int64_t i = runs; i-- > 0;) attention_run(p, packed.get(), i, i + 1, level);
    } else {
      attention_pack(p, packed.get(), 0, packs, level);
      attention_run(p, packed.get(), 0, runs, level);
    }
    return out;
  }

  std::vector<uint16_t> by_definition() {
    plain_attention(p);
    return out;
  }
};

// Length of the difference in units of the length.
double distance(const std::vector<uint16_t>& a, const std::vector<uint16_t>& b) {
  double difference = 0, length = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{from_bf16(a[i])} - from_bf16(b[i]), 2);
    length += std::pow(double{from_bf16(b[i])}, 2);
  }
  return std::sqrt(difference / length);
}

// Both round the result to bf16 (1/256 between numbers: 1.1e-3 on average), the kernel the weights
// as well.
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
  const std::vector<uint16_t> out = c.by_definition();
  CHECK(from_bf16(out[0]) == doctest::Approx(1).epsilon(0.01));
  CHECK(from_bf16(out[1]) == doctest::Approx(2).epsilon(0.01));
}

TEST_CASE("attention's kernels give what the definition gives, at every shape") {
  struct Shape {
    int64_t batch, heads, queries, keys, width;
  };
  for (const Level level : levels_with_kernels()) {
    for (const Shape s :
         {Shape{1, 1, 1, 1, 2}, Shape{2, 3, 7, 5, 40}, Shape{1, 2, 100, 77, 64},
          Shape{2, 2, 97, 600, 80}, Shape{1, 1, 30, 1100, 160}, Shape{1, 1, 50, 333, 512},
          Shape{1, 8, 64, 64, 40}, Shape{1, 1, 13, 513, 46}, Shape{1, 1, 25, 17, 162}}) {
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

TEST_CASE("a query for which no key counts gets zeros, and a not-a-number stays one") {
  for (const Level level : levels_with_kernels()) {
    Case none(1, 1, 6, 20, 16);
    none.bias.assign(20, -kInfinity);
    none.p.bias = none.bias.data();
    CHECK(none.by_kernel(level) == std::vector<uint16_t>(6 * 16, 0));
    CHECK(none.by_definition() == std::vector<uint16_t>(6 * 16, 0));
    Case broken(1, 1, 6, 20, 16);
    broken.v[3] = to_bf16(std::nanf(""));
    CHECK(std::isnan(from_bf16(broken.by_kernel(level)[3])));
    CHECK(std::isfinite(from_bf16(broken.by_kernel(level)[4])));
    broken.q[0] = to_bf16(std::nanf(""));
    CHECK(std::isnan(from_bf16(broken.by_kernel(level)[4])));
  }
}
