#include "kernels/attention_gradient.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "kernels/attention_testing.h"

using namespace pangu::kernels;

namespace {

std::vector<Level> levels_with_gradients() {
  return levels_here({Level::kAvx512Bf16, Level::kAmxEmulated, Level::kAmx});
}

// What attention_run wrote at a level, and the gradients of it.
struct Case {
  AttentionCase attention;
  std::vector<uint16_t> d_out, dk, dv;
  std::vector<float> log_sums, dq;  // dq: its parts, added up
  AttentionProblem& p = attention.p;

  Case(int64_t batch, int64_t heads, int64_t queries, int64_t keys, int64_t width,
       float deviation = 1)
      : attention(batch, heads, queries, keys, width, deviation),
        dk(size_t(batch * keys * heads * width)),
        dv(dk),
        log_sums(size_t(batch * heads * queries)),
        dq(attention.out.size()) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 1);
    for (size_t i = 0; i < attention.out.size(); ++i) d_out.push_back(to_bf16(normal(random)));
    p.log_sums = log_sums.data();
  }
  Case(const Case&) = delete;

  AttentionGradientProblem problem() const { return {.forward = p, .d_out = d_out.data()}; }

  void by_kernel(Level level, bool task_by_task = false) {
    attention.by_kernel(level);
    AttentionGradientProblem gradient = problem();
    const size_t parts = size_t(attention_gradient_parts(p)), numbers = dq.size();
    std::vector<float> in_parts(parts * numbers, std::nanf(""));
    gradient.dq = in_parts.data(), gradient.dk = dk.data(), gradient.dv = dv.data();
    const auto workspace = aligned_numbers<char>(attention_gradient_workspace(p));
    const int64_t tasks = attention_gradient_tasks(p);
    if (task_by_task) {
      for (int64_t i = tasks; i-- > 0;) {
        attention_gradient_run(gradient, workspace.get(), i, i + 1);
      }
    } else {
      attention_gradient_run(gradient, workspace.get(), 0, tasks);
    }
    std::fill(dq.begin(), dq.end(), 0.0f);
    for (size_t i = 0; i < in_parts.size(); ++i) dq[i % numbers] += in_parts[i];
  }

  struct Exact {
    std::vector<double> dq, dk, dv;
  };
  Exact by_definition() const {
    Exact exact{std::vector<double>(dq.size()), std::vector<double>(dk.size()),
                std::vector<double>(dk.size())};
    plain_attention_gradient(problem(), exact.dq.data(), exact.dk.data(), exact.dv.data());
    return exact;
  }
};

std::vector<uint16_t> rounded(const std::vector<float>& numbers) {
  std::vector<uint16_t> bits;
  for (const float number : numbers) bits.push_back(to_bf16(number));
  return bits;
}

double greatest(const std::vector<float>& numbers) {
  double most = 0;
  for (const float number : numbers) most = std::max(most, double{std::fabs(number)});
  return most;
}

// Weights, gradients of the scores, mixes and results are rounded to bf16, each with an error of
// 1.7e-3 by root mean square; a difference of two numbers has more.
constexpr double kRounding = 6e-3;

}  // namespace

TEST_CASE("the gradient of attention is that of the softmax and of both products") {
  Case c(1, 1, 1, 2, 2);
  AttentionCase& a = c.attention;
  a.q = {to_bf16(1), 0}, a.p.q = a.q.data();
  for (uint16_t& number : a.k) number = 0;
  a.k[8] = to_bf16(std::sqrt(2.0f) * std::log(3.0f));  // the second key has 3 times the weight
  for (uint16_t& number : a.v) number = 0;
  a.v[0] = to_bf16(4), a.v[1] = to_bf16(8);
  c.d_out = {to_bf16(1), 0};
  const Case::Exact exact = c.by_definition();
  const double scaled = 0.75 / std::sqrt(2.0);  // the gradient of the first score: 1/4 (4 - 1)
  CHECK(exact.dq[0] == doctest::Approx(-0.75 * std::log(3.0)).epsilon(0.01));
  CHECK(exact.dq[1] == 0);
  CHECK(exact.dk[0] == doctest::Approx(scaled).epsilon(0.01));
  CHECK(exact.dk[2] == doctest::Approx(-scaled).epsilon(0.01));
  CHECK(exact.dv[0] == doctest::Approx(0.25).epsilon(0.01));
  CHECK(exact.dv[2] == doctest::Approx(0.75).epsilon(0.01));
  CHECK(exact.dv[3] == 0);
}

TEST_CASE("the gradient's kernels give what the definition gives, at every shape") {
  struct Shape {
    int64_t batch, heads, queries, keys, width;
  };
  for (const Level level : levels_with_gradients()) {
    for (const Shape s :
         {Shape{2, 3, 7, 5, 40}, Shape{1, 2, 100, 77, 64}, Shape{2, 2, 97, 600, 80},
          Shape{1, 1, 30, 1100, 160}, Shape{1, 1, 50, 333, 256}, Shape{1, 8, 64, 64, 40},
          Shape{1, 1, 13, 513, 46}, Shape{1, 1, 25, 17, 162}, Shape{1, 2, 33, 154, 128},
          Shape{1, 3, 47, 4096, 40}, Shape{1, 1, 49, 264, 6}, Shape{1, 1, 300, 2, 2}}) {
      for (const bool biased : {false, true}) {
        Case c(s.batch, s.heads, s.queries, s.keys, s.width);
        if (biased) c.attention.add_bias();
        REQUIRE(attention_gradient_fits(c.p, level));
        CAPTURE(s.queries);
        CAPTURE(s.keys);
        CAPTURE(s.width);
        CAPTURE(biased);
        c.by_kernel(level);
        const Case::Exact exact = c.by_definition();
        CHECK(distance(rounded(c.dq), exact.dq) < kRounding);
        CHECK(distance(c.dk, exact.dk) < kRounding);
        CHECK(distance(c.dv, exact.dv) < kRounding);
      }
    }
  }
}

TEST_CASE(
    "the gradient has no kernel for what is empty, odd or too wide, nor below pair products") {
  for (const Level level : levels_with_gradients()) {
    CHECK(attention_gradient_fits(Case(1, 2, 3, 4, 256).p, level));
    for (const auto& [batch, heads, queries, keys, width] : {std::array<int64_t, 5>{0, 2, 3, 4, 40},
                                                             {1, 0, 3, 4, 40},
                                                             {1, 2, 0, 4, 40},
                                                             {1, 2, 3, 0, 40},
                                                             {1, 2, 3, 4, 41},
                                                             {1, 2, 3, 4, 258}}) {
      CHECK_FALSE(attention_gradient_fits(Case(batch, heads, queries, keys, width).p, level));
    }
  }
  CHECK_FALSE(attention_gradient_fits(Case(1, 2, 3, 4, 40).p, Level::kAvx512));
  CHECK_FALSE(attention_gradient_fits(Case(1, 2, 3, 4, 40).p, Level::kPlain));
}

TEST_CASE("the gradient does not depend on how its tasks are shared out") {
  for (const Level level : levels_with_gradients()) {
    Case at_once(2, 3, 200, 1530, 40), one_by_one(2, 3, 200, 1530, 40);
    at_once.by_kernel(level);
    one_by_one.by_kernel(level, /*task_by_task=*/true);
    CHECK(attention_gradient_parts(at_once.p) > 1);
    CHECK(at_once.dq == one_by_one.dq);
    CHECK(at_once.dk == one_by_one.dk);
    CHECK(at_once.dv == one_by_one.dv);
  }
}

TEST_CASE("a single key has no gradient but that of its value, a query without keys none") {
  for (const Level level : levels_with_gradients()) {
    Case single(1, 2, 40, 1, 64);
    single.by_kernel(level);
    // The mix is rounded to bf16, which its difference from the key's own product shows.
    CHECK(greatest(single.dq) < 0.2);
    CHECK(distance(single.dv, single.by_definition().dv) < kRounding);
    Case none(1, 1, 6, 20, 16);
    none.attention.bias.assign(20, -kInfinity);
    none.p.bias = none.attention.bias.data();
    none.by_kernel(level);
    CHECK(none.log_sums == std::vector<float>(6, kInfinity));
    CHECK(none.dq == std::vector<float>(6 * 16, 0));
    CHECK(none.dk == std::vector<uint16_t>(20 * 16, 0));
    CHECK(none.dv == std::vector<uint16_t>(20 * 16, 0));
    CHECK(none.by_definition().dv == std::vector<double>(20 * 16, 0));
  }
}

TEST_CASE("the gradient stays finite for scores of thousands, and a not-a-number stays one") {
  for (const Level level : levels_with_gradients()) {
    Case c(1, 1, 64, 700, 64, 40);
    c.by_kernel(level);
    bool finite = true;
    for (const float number : c.dq) finite &= std::isfinite(number);
    for (const auto* keys : {&c.dk, &c.dv}) {
      for (const uint16_t number : *keys) finite &= std::isfinite(from_bf16(number));
    }
    CHECK(finite);
    c.d_out[0] = to_bf16(std::nanf(""));
    c.by_kernel(level);
    CHECK(std::isnan(c.dq[0]));
    CHECK(std::isnan(from_bf16(c.dv[0])));
    CHECK(std::isfinite(from_bf16(c.dv[1])));
  }
}
