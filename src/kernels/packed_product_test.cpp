#include "kernels/packed_product.h"

#include <doctest/doctest.h>

#include <cmath>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/testing.h"

using namespace pangu::kernels;

namespace {

std::vector<Level> product_levels() {
  return levels_here(
      {Level::kAvx2, Level::kAvx512, Level::kAvx512Bf16, Level::kAmxEmulated, Level::kAmx});
}

// Normal numbers whose results are of size 1. Pixels of inputs, residuals and results are further
// apart than they are long, as slices of a wider tensor are.
struct ProductCase {
  ProductProblem p;
  std::vector<uint16_t> x, weights, residual, out;
  std::vector<float> bias;
  AlignedNumbers<uint16_t> packed;

  explicit ProductCase(const ProductForm& form, Level level = Level::kAvx512Bf16)
      : packed(aligned_numbers<uint16_t>(product_packed_size(at(form.weights, level)))) {
    p.weights = at(form.weights, level);
    form.write_to(p);
    const ProductWeights& w = p.weights;
    std::mt19937 random(static_cast<unsigned>(w.outputs * 31 + w.inputs));
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<uint16_t>& numbers, int64_t count, double deviation) {
      numbers.resize(static_cast<size_t>(count));
      for (uint16_t& number : numbers) number = to_bf16(normal(random) * float(deviation));
      return numbers.data();
    };
    p.x_pixel = w.inputs + 2, p.residual_pixel = w.results() + 3, p.out_pixel = w.results() + 1;
    p.x = fill(x, p.batch * p.height * p.width * p.x_pixel, 1);
    fill(weights, w.outputs * w.taps() * w.inputs, 1 / std::sqrt(double(w.taps() * w.inputs)));
    p.residual = fill(residual, p.out_pixels() * p.residual_pixel, 1);
    for (int64_t i = 0; i < w.outputs; ++i) bias.push_back(normal(random));
    p.bias = bias.data();
    out.resize(static_cast<size_t>(p.out_pixels() * p.out_pixel));
    for (int64_t i = product_pack_tasks(w); i-- > 0;) {
      product_pack(w, weights.data(), packed.get(), i, i + 1);
    }
    p.packed = packed.get();
  }

  std::vector<uint16_t> by_kernel(bool task_by_task = false) {
    clear();
    const int64_t tasks = product_tasks(p);
    if (!task_by_task) product_run(p, 0, tasks);
    for (int64_t i = task_by_task ? tasks : 0; i-- > 0;) product_run(p, i, i + 1);
    return out;
  }

  std::vector<uint16_t> by_definition() {
    clear();
    plain_product(p, weights.data());
    return out;
  }

 private:
  static ProductWeights at(ProductWeights weights, Level level) {
    weights.level = level;
    return weights;
  }
  void clear() {
    for (uint16_t& number : out) number = 0x7fc0;
    p.out = out.data();
  }
};

// The greatest difference; what lies between the results' pixels must not have been written.
double difference(const ProductCase& c, const std::vector<uint16_t>& a,
                  const std::vector<uint16_t>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (int64_t(i) % c.p.out_pixel == c.p.weights.results()) {
      REQUIRE(a[i] == 0x7fc0);
      continue;
    }
    const double apart = std::fabs(double{from_bf16(a[i])} - double{from_bf16(b[i])});
    most = std::isfinite(apart) ? std::max(most, apart) : 1e9;
  }
  return most;
}

// Results are below 16, where neighbouring bf16 numbers are 1/16 apart; sums in f32 and in f64 may
// round to two neighbours.
constexpr double kNeighbours = 0.0625;

}  // namespace

TEST_CASE("the plain product sums inputs times weights over the taps, with zeros around") {
  ProductForm form;
  form.weights = {.outputs = 1, .high = 1, .wide = 3, .inputs = 2};
  form.width = 2, form.padding = 1;
  ProductCase c(form);
  c.p.bias = nullptr, c.p.residual = nullptr, c.p.x_pixel = 2, c.p.height = 1;
  c.p.out_pixel = 1;
  const auto set = [](std::vector<uint16_t>& to, const std::vector<float>& numbers) {
    for (size_t i = 0; i < numbers.size(); ++i) to[i] = to_bf16(numbers[i]);
  };
  set(c.x, {1, 2, 3, 4});
  set(c.weights, {100, 200, 1, 10, 1000, 2000});
  c.out.assign(6, 0);
  c.p.out = c.out.data();
  plain_product(c.p, c.weights.data());
  CHECK(from_bf16(c.out[2]) == doctest::Approx(1 + 20 + 3000 + 8000).epsilon(0.004));
  CHECK(from_bf16(c.out[3]) == doctest::Approx(100 + 400 + 3 + 40).epsilon(0.004));
}

TEST_CASE("a packed product gives what the definition gives, at every shape") {
  using enum ProductActivation;
  const std::vector<ProductForm> forms = {
      {{.outputs = 1, .inputs = 2}},
      {{.outputs = 64, .inputs = 32}, 1, 1, 6},
      {{.outputs = 70, .high = 3, .wide = 3, .inputs = 6}, 2, 5, 7, 1, 1},
      {{.outputs = 36, .high = 3, .wide = 3, .inputs = 8}, 2, 6, 5, 2, 1},
      {{.outputs = 130, .high = 3, .wide = 3, .inputs = 4}, 1, 3, 4, 1, 1, true},
      {{.outputs = 20, .high = 5, .wide = 2, .inputs = 4}, 1, 9, 8, 3, 0},
      {{.outputs = 112, .inputs = 40, .activation = kSilu}, 1, 1, 53},
      {{.outputs = 100, .inputs = 32, .activation = kGeglu}, 1, 3, 7},
      {{.outputs = 130, .inputs = 20, .activation = kGeglu}, 1, 1, 200},
      {{.outputs = 33, .inputs = 64, .activation = kGelu}, 3, 1, 13},
      {{.outputs = 80, .high = 3, .wide = 3, .inputs = 1280}, 1, 3, 3, 1, 1},  // several visits
      {{.outputs = 65, .inputs = 3100}, 1, 1, 500},
      {{.outputs = 640, .inputs = 16}, 1, 1, 700},  // several panels a task
      {{.outputs = 33, .inputs = 10240}, 1, 1, 7},
      {{.outputs = 40, .high = 3, .wide = 3, .inputs = 64}, 2, 5, 40, 1, 1},  // even rows
      {{.outputs = 24, .high = 3, .wide = 3, .inputs = 32}, 1, 4, 70, 2, 1},
  };
  for (const Level level : product_levels()) {
    for (const ProductForm& form : forms) {
      CAPTURE(form.weights.outputs);
      CAPTURE(form.weights.inputs);
      CAPTURE(form.width);
      ProductCase c(form, level);
      REQUIRE(product_fits(c.p.weights));
      CHECK(difference(c, c.by_kernel(), c.by_definition()) <= kNeighbours);
      c.p.bias = nullptr, c.p.residual = nullptr;
      CHECK(difference(c, c.by_kernel(), c.by_definition()) <= kNeighbours);
    }
  }
}

TEST_CASE("a packed product adds a residual of f32 to results of f32, without rounding") {
  for (const Level level : product_levels()) {
    ProductCase c({{.outputs = 70, .high = 3, .wide = 3, .inputs = 6}, 2, 5, 7, 1, 1}, level);
    std::vector<float> residual(c.residual.size(), 1.0f), out(c.out.size()), exact(out);
    c.p.residual = nullptr, c.p.wide_residual = residual.data();
    c.p.wide_out = out.data();
    product_run(c.p, 0, product_tasks(c.p));
    c.p.wide_out = exact.data();
    plain_product(c.p, c.weights.data());
    for (size_t i = 0; i < out.size(); ++i) {
      REQUIRE(std::fabs(out[i] - exact[i]) < 1e-5f);  // 54 terms of size 1/7 in f32
    }
    CHECK(out.front() != 0);
  }
}

TEST_CASE("a packed product does not depend on how its tasks are shared out") {
  for (const Level level : product_levels()) {
    for (const int64_t inputs : {24, 2000}) {
      ProductCase c({{.outputs = 200, .high = 3, .wide = 3, .inputs = inputs}, 1, 9, 31, 1, 1},
                    level);
      CHECK(c.by_kernel() == c.by_kernel(/*task_by_task=*/true));
    }
  }
}

TEST_CASE("a packed product of no pixels has no tasks") {
  ProductCase c({{.outputs = 40, .inputs = 16}, 1, 1, 1});
  c.p.width = 0;
  CHECK(product_tasks(c.p) == 0);
}

TEST_CASE("packed weights are given back bit for bit") {
  for (const Level level : product_levels()) {
    for (const auto activation : {ProductActivation::kNone, ProductActivation::kGeglu}) {
      const ProductWeights w = {
          .outputs = 150, .high = 3, .wide = 1, .inputs = 10, .activation = activation};
      ProductCase c({w, 1, 3}, level);
      std::vector<uint16_t> back(c.weights.size());
      product_unpack(c.p.weights, c.p.packed, back.data());
      CHECK(back == c.weights);
    }
  }
}

TEST_CASE("a not-a-number reaches the results that depend on it, and no other") {
  for (const Level level : product_levels()) {
    ProductCase c({{.outputs = 40, .inputs = 16}, 1, 1, 9}, level);
    c.x[static_cast<size_t>(3 * c.p.x_pixel)] = to_bf16(std::nanf(""));
    const std::vector<uint16_t> out = c.by_kernel();
    for (int64_t pixel = 0; pixel < 9; ++pixel) {
      CHECK(std::isnan(from_bf16(out[size_t(pixel * c.p.out_pixel + 7)])) == (pixel == 3));
    }
  }
}

TEST_CASE("activations of a packed product are exact from the lowest to the highest inputs") {
  // One input of weight 1: the result is the activation of x itself.
  for (const Level level : product_levels()) {
    for (const ProductActivation activation :
         {ProductActivation::kSilu, ProductActivation::kGelu}) {
      ProductCase c({{.outputs = 1, .inputs = 2, .activation = activation}, 1, 1, 2001}, level);
      c.p.bias = nullptr, c.p.residual = nullptr;
      c.weights = {to_bf16(1), 0};
      product_pack(c.p.weights, c.weights.data(), c.packed.get(), 0, 1);
      for (int64_t i = 0; i < 2001; ++i) {
        c.x[size_t(i * c.p.x_pixel)] = to_bf16(float(i - 1000) / 8);
        c.x[size_t(i * c.p.x_pixel + 1)] = 0;
      }
      const std::vector<uint16_t> fast = c.by_kernel(), exact = c.by_definition();
      for (int64_t i = 0; i < 2001; ++i) {
        const size_t at = size_t(i * c.p.out_pixel);
        CAPTURE(from_bf16(c.x[size_t(i * c.p.x_pixel)]));
        // A bf16 number is off by at most 1/256 of its size; where Phi vanishes its own error
        // counts.
        CHECK(from_bf16(fast[at]) ==
              doctest::Approx(from_bf16(exact[at])).epsilon(1.0 / 128).scale(1e-4));
      }
    }
  }
}
