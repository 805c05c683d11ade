#include "kernels/int8_product.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <ostream>
#include <random>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/testing.h"

using namespace pangu::kernels;

namespace {

std::vector<Level> int8_levels() {
  std::vector<Level> levels = levels_here({Level::kAvx512, Level::kAvx512Bf16});
  std::erase_if(levels, [](Level level) { return !multiplies_bytes(level); });
  return levels;
}

// Random codes of every value, with factors that make results of size 1. Pixels of inputs,
// residuals and results are further apart than they are long.
struct Int8Case {
  Int8Problem q;
  std::vector<uint8_t> x;
  std::vector<int8_t> codes;
  std::vector<float> x_factors, factors, bias;
  std::vector<uint16_t> residual, out;
  AlignedNumbers<std::byte> packed;

  explicit Int8Case(const ProductForm& form)
      : packed(aligned_numbers<std::byte>(int8_packed_size(form.weights))) {
    ProductProblem& p = q.product;
    p.weights = form.weights;
    form.write_to(p);
    const ProductWeights& w = p.weights;
    std::mt19937 random(static_cast<unsigned>(w.outputs * 31 + w.inputs));
    std::normal_distribution<float> normal;
    p.x_pixel = w.inputs + 3, p.residual_pixel = w.results() + 3, p.out_pixel = w.results() + 1;
    const int64_t pixels = p.batch * p.height * p.width;
    for (int64_t i = 0; i < pixels * p.x_pixel; ++i) x.push_back(uint8_t(random()));
    for (int64_t i = 0; i < pixels; ++i) x_factors.push_back(float(1 + i % 7) / 300);
    for (int64_t i = 0; i < w.outputs * w.taps() * w.inputs; ++i) {
      codes.push_back(static_cast<int8_t>(int(random() % 255) - 127));
    }
    const double deviation = 74 * std::sqrt(double(w.taps() * w.inputs));
    for (int64_t i = 0; i < w.outputs; ++i) {
      factors.push_back(float(double(1 + i % 3) / deviation));
      bias.push_back(normal(random));
    }
    for (int64_t i = 0; i < p.out_pixels() * p.residual_pixel; ++i) {
      residual.push_back(to_bf16(normal(random)));
    }
    out.resize(static_cast<size_t>(p.out_pixels() * p.out_pixel));
    for (int64_t i = product_pack_tasks(w); i-- > 0;) {
      int8_pack(w, codes.data(), factors.data(), packed.get(), i, i + 1);
    }
    p.bias = bias.data(), p.residual = residual.data();
    q.x = x.data(), q.x_factors = x_factors.data(), q.packed = packed.get();
  }

  std::vector<uint16_t> by_kernel(Level level, bool task_by_task = false) {
    clear();
    const int64_t tasks = int8_tasks(q);
    if (!task_by_task) int8_run(q, 0, tasks, level);
    for (int64_t i = task_by_task ? tasks : 0; i-- > 0;) int8_run(q, i, i + 1, level);
    return out;
  }

  std::vector<uint16_t> by_definition() {
    clear();
    plain_int8_product(q, codes.data(), factors.data());
    return out;
  }

 private:
  void clear() {
    for (uint16_t& number : out) number = 0x7fc0;
    q.product.out = out.data();
  }
};

// The greatest difference, of numbers above 1 in units of their size; what lies between the
// results' pixels must not have been written.
double int8_difference(const Int8Case& c, const std::vector<uint16_t>& a,
                       const std::vector<uint16_t>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (int64_t(i) % c.q.product.out_pixel == c.q.product.weights.results()) {
      REQUIRE(a[i] == 0x7fc0);
      continue;
    }
    const double size = std::max(1.0, std::fabs(double{from_bf16(b[i])}));
    const double apart = std::fabs(double{from_bf16(a[i])} - double{from_bf16(b[i])}) / size;
    most = std::isfinite(apart) ? std::max(most, apart) : 1e9;
  }
  return most;
}

// Neighbouring bf16 numbers are up to 1/128 of their size apart; sums in f32 and in f64 may round
// to two neighbours.
constexpr double kBf16Step = 1.0 / 128;

struct RowsCase {
  Int8Rows r;
  std::vector<uint16_t> x;
  std::vector<float> scale, shift, factors;
  std::vector<uint8_t> codes;

  RowsCase(int64_t rows, int64_t inputs, int64_t pictures) {
    std::mt19937 random(static_cast<unsigned>(inputs));
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < rows * inputs; ++i) x.push_back(to_bf16(3 + normal(random)));
    for (int64_t i = 0; i < pictures * inputs; ++i) {
      scale.push_back(normal(random)), shift.push_back(normal(random));
    }
    r.rows = rows, r.inputs = inputs, r.rows_a_picture = rows / pictures;
    factors.resize(size_t(rows)), codes.resize(size_t(rows * inputs + 1), 77);
    r.x = x.data(), r.codes = codes.data(), r.factors = factors.data();
  }
};

}  // namespace

TEST_CASE("the plain product of bytes sums (byte - 128) times weight, with zeros around") {
  ProductForm form;
  form.weights = {.outputs = 1, .high = 1, .wide = 3, .inputs = 4};
  form.width = 2, form.padding = 1;
  Int8Case c(form);
  c.q.product.bias = nullptr, c.q.product.residual = nullptr, c.q.product.x_pixel = 4;
  // The middle one of three rows of results, the others being of zeros alone.
  c.x = {129, 130, 128, 127, 138, 128, 128, 128}, c.x_factors = {1, 0.5f};
  c.q.x = c.x.data(), c.q.x_factors = c.x_factors.data();
  c.codes = {100, 0, 0, 0, 1, 10, 100, 50, 7, 0, 0, 0}, c.factors = {2};
  const std::vector<uint16_t> out = c.by_definition();
  CHECK(from_bf16(out[4]) == 2 * ((1 + 20 - 50) + 0.5f * 70));
  CHECK(from_bf16(out[6]) == 2 * (100 + 0.5f * 10));
}

TEST_CASE("a product of bytes gives what the definition gives, at every shape") {
  using enum ProductActivation;
  const std::vector<ProductForm> forms = {
      {{.outputs = 1, .inputs = 4}},
      {{.outputs = 64, .inputs = 32}, 1, 1, 6},
      {{.outputs = 70, .high = 3, .wide = 3, .inputs = 12}, 2, 5, 7, 1, 1},
      {{.outputs = 36, .high = 3, .wide = 3, .inputs = 8}, 2, 6, 5, 2, 1},
      {{.outputs = 130, .high = 3, .wide = 3, .inputs = 4}, 1, 3, 4, 1, 1, true},
      {{.outputs = 20, .high = 5, .wide = 2, .inputs = 4}, 1, 9, 8, 3, 0},
      {{.outputs = 112, .inputs = 40, .activation = kSilu}, 1, 1, 53},
      {{.outputs = 100, .inputs = 32, .activation = kGeglu}, 1, 3, 7},
      {{.outputs = 130, .inputs = 20, .activation = kGeglu}, 1, 1, 200},
      {{.outputs = 33, .inputs = 64, .activation = kGelu}, 3, 1, 13},
      {{.outputs = 80, .high = 3, .wide = 3, .inputs = 1280}, 1, 3, 3, 1, 1},  // several visits
      {{.outputs = 65, .inputs = 6144}, 1, 1, 100},
      {{.outputs = 640, .inputs = 16}, 1, 1, 700},  // several panels a task
  };
  for (const Level level : int8_levels()) {
    for (const ProductForm& form : forms) {
      CAPTURE(form.weights.outputs);
      CAPTURE(form.weights.inputs);
      CAPTURE(form.width);
      Int8Case c(form);
      REQUIRE(int8_fits(form.weights, level));
      CHECK(int8_difference(c, c.by_kernel(level), c.by_definition()) <= kBf16Step);
      c.q.product.bias = nullptr, c.q.product.residual = nullptr;
      CHECK(int8_difference(c, c.by_kernel(level), c.by_definition()) <= kBf16Step);
    }
  }
}

TEST_CASE("a product of bytes adds a residual of f32 to results of f32") {
  for (const Level level : int8_levels()) {
    Int8Case c({{.outputs = 70, .high = 3, .wide = 3, .inputs = 8}, 2, 5, 7, 1, 1});
    std::vector<float> residual(c.residual.size(), 1.0f), out(c.out.size()), exact(out);
    c.q.product.residual = nullptr, c.q.product.wide_residual = residual.data();
    c.q.product.wide_out = out.data();
    int8_run(c.q, 0, int8_tasks(c.q), level);
    c.q.product.wide_out = exact.data();
    plain_int8_product(c.q, c.codes.data(), c.factors.data());
    // Nine taps are added in f32, and results are of size 1 to 10.
    for (size_t i = 0; i < out.size(); ++i) REQUIRE(std::fabs(out[i] - exact[i]) < 2e-5f);
    CHECK(out.front() != 0);
  }
}

TEST_CASE("a product of bytes does not depend on how its tasks are shared out") {
  for (const Level level : int8_levels()) {
    for (const int64_t inputs : {24, 2000}) {
      Int8Case c({{.outputs = 200, .high = 3, .wide = 3, .inputs = inputs}, 1, 9, 31, 1, 1});
      CHECK(c.by_kernel(level) == c.by_kernel(level, /*task_by_task=*/true));
    }
  }
}

TEST_CASE("a product of bytes is exact for the greatest inputs and weights") {
  for (const Level level : int8_levels()) {
    Int8Case c({{.outputs = 33, .inputs = 6144}, 1, 1, 7});
    c.q.product.bias = nullptr, c.q.product.residual = nullptr;
    std::fill(c.x.begin(), c.x.end(), uint8_t{255});
    std::fill(c.codes.begin(), c.codes.end(), int8_t{-127});
    std::fill(c.factors.begin(), c.factors.end(), 1.0f);
    std::fill(c.x_factors.begin(), c.x_factors.end(), 1.0f);
    int8_pack(c.q.product.weights, c.codes.data(), c.factors.data(), c.packed.get(), 0, 1);
    const std::vector<uint16_t> out = c.by_kernel(level);
    CHECK(out[32] == to_bf16(-6144.0f * 127 * 127));
  }
}

TEST_CASE("inputs that no four divides, or too many of them, have no kernel for bytes") {
  for (const Level level : int8_levels()) {
    CHECK(int8_fits({.outputs = 8, .inputs = 4}, level));
    CHECK_FALSE(int8_fits({.outputs = 8, .inputs = 6}, level));
    CHECK_FALSE(int8_fits({.outputs = 8, .inputs = 6148}, level));
    CHECK_FALSE(
        int8_fits({.outputs = 7, .inputs = 8, .activation = ProductActivation::kGeglu}, level));
  }
  CHECK_FALSE(int8_fits({.outputs = 8, .inputs = 4}, Level::kPlain));
  CHECK_FALSE(int8_fits({.outputs = 8, .inputs = 4}, Level::kAvx2));
}

TEST_CASE("packed bytes and their factors are given back") {
  for (const ProductActivation activation : {ProductActivation::kNone, ProductActivation::kGeglu}) {
    Int8Case c(
        {{.outputs = 150, .high = 3, .wide = 1, .inputs = 12, .activation = activation}, 1, 3});
    std::vector<int8_t> codes(c.codes.size());
    std::vector<float> factors(c.factors.size());
    int8_unpack(c.q.product.weights, c.packed.get(), codes.data(), factors.data());
    CHECK(codes == c.codes);
    CHECK(factors == c.factors);
  }
}

TEST_CASE("weights are rounded to 127 steps of their output's greatest size") {
  const ProductWeights w{.outputs = 3, .inputs = 4};
  std::vector<uint16_t> numbers;
  for (const float x :
       {1.0f, -2.0f, 0.5f, 0.01f, 0.0f, 0.0f, 0.0f, 0.0f, 1.0f, 2.0f, std::nanf(""), 3.0f}) {
    numbers.push_back(to_bf16(x));
  }
  std::vector<int8_t> codes(12);
  std::vector<float> factors(3);
  int8_round(w, numbers.data(), codes.data(), factors.data(), 1, 3);
  int8_round(w, numbers.data(), codes.data(), factors.data(), 0, 1);
  CHECK(factors[0] == 2.0f / 127);
  CHECK(std::vector<int8_t>(codes.begin(), codes.begin() + 8) ==
        std::vector<int8_t>{64, -127, 32, 1, 0, 0, 0, 0});
  CHECK(factors[1] == 0);
  CHECK(std::isnan(factors[2]));
}

TEST_CASE("rows are rounded as their definition says, after every norm and activation") {
  for (const Level level : int8_levels()) {
    for (const int64_t inputs : {4, 17, 320, 6144}) {
      for (int form = 0; form < 6; ++form) {
        CAPTURE(inputs);
        CAPTURE(form);
        RowsCase fast(6, inputs, 2), exact(6, inputs, 2);
        for (RowsCase* c : {&fast, &exact}) {
          c->r.silu = form % 2 == 1;
          if (form / 2 == 1) c->r.scale = c->scale.data(), c->r.shift = c->shift.data();
          if (form / 2 == 2) c->r.norm_weight = c->scale.data(), c->r.norm_bias = c->shift.data();
          c->r.eps = 1e-5f;
        }
        int8_rows(fast.r, 0, 3, level);
        int8_rows(fast.r, 3, 6, level);
        plain_int8_rows(exact.r, 0, 6);
        for (int64_t row = 0; row < 6; ++row) {
          // The activation by vectors is exact to 3e-6; sums of a row in f32 are to 1e-6.
          REQUIRE(fast.factors[size_t(row)] ==
                  doctest::Approx(exact.factors[size_t(row)]).epsilon(2e-5));
        }
        int most = 0;
        for (size_t i = 0; i < fast.codes.size(); ++i) {
          most = std::max(most, std::abs(int(fast.codes[i]) - int(exact.codes[i])));
        }
        CHECK(most <= (form == 0 ? 0 : 1));  // a number between two codes may take either
        CHECK(fast.codes.back() == 77);
      }
    }
  }
}

TEST_CASE("a row of zeros has a factor of 0, and one that is not finite a factor that is not") {
  // Every level takes rows, by the definition where it has no kernel.
  for (const Level level : levels_here(
           {Level::kPlain, Level::kAvx2, Level::kAvx512, Level::kAvx512Bf16, Level::kAmx})) {
    RowsCase c(4, 20, 1);
    for (size_t i = 0; i < 20; ++i) c.x[i] = i % 2 ? 0x8000 : 0;
    c.x[27] = to_bf16(std::nanf(""));
    c.x[47] = to_bf16(std::numeric_limits<float>::infinity());
    int8_rows(c.r, 0, 4, level);
    CHECK(c.factors[0] == 0);
    CHECK(c.codes[3] == 128);
    CHECK_FALSE(std::isfinite(c.factors[1]));
    CHECK_FALSE(std::isfinite(c.factors[2]));
    CHECK(std::isfinite(c.factors[3]));
  }
}
