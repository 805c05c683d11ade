#include "kernels/fast_conv.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/testing.h"

using namespace pangu::kernels;

namespace {

std::vector<Level> fast_conv_levels() {
  return levels_here({Level::kAvx2, Level::kAvx512, Level::kAvx512Bf16});
}

struct Picture {
  int64_t batch, height, width;
};

// Normal numbers whose results are of size 1.
struct FastCase {
  FastConvProblem c;
  int64_t inputs, outputs;
  std::vector<float> x, scale, offset, weights, bias, residual, out;
  std::vector<uint16_t> narrow_x, pairs;
  AlignedNumbers<uint16_t> packed;
  bool silu = false;

  FastCase(const FastConvWeights& w, const Picture& size)
      : inputs(w.inputs),
        outputs(w.outputs),
        packed(aligned_numbers<uint16_t>(fast_conv_packed_size(w))) {
    std::mt19937 random(static_cast<unsigned>(w.outputs * 31 + w.inputs));
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& numbers, int64_t count, double deviation) {
      for (int64_t i = 0; i < count; ++i) numbers.push_back(normal(random) * float(deviation));
    };
    const int64_t pixels = size.batch * size.height * size.width;
    fill(x, pixels * inputs, 1);
    fill(scale, size.batch * inputs, 1);
    fill(offset, size.batch * inputs, 1);
    fill(weights, outputs * 9 * inputs, 1 / std::sqrt(9.0 * double(inputs)));
    fill(bias, outputs, 1);
    fill(residual, pixels * outputs * (w.form == FastConvForm::kEnlarged ? 4 : 1), 1);
    out.resize(residual.size());
    c.weights = w;
    ProductProblem& p = c.product;
    p.weights = {.outputs = outputs, .high = 3, .wide = 3, .inputs = inputs};
    p.batch = size.batch, p.height = size.height, p.width = size.width;
    p.bias = bias.data(), p.wide_residual = residual.data();
    p.residual_pixel = p.out_pixel = outputs;
    FastConvNumbers numbers;
    numbers.wide_numbers = weights.data();
    for (const Level level : fast_conv_levels()) {
      for (int64_t i = fast_conv_panels(w); i-- > 0;) {
        fast_conv_pack(w, i, numbers, packed.get(), level);
      }
    }
    p.packed = packed.get();
    for (const float number : x) narrow_x.push_back(to_bf16(number));
  }

  float activated(size_t i) const {
    const size_t picture = i / (x.size() / size_t(c.product.batch));
    const size_t channel = picture * size_t(inputs) + i % size_t(inputs);
    const float y = x[i] * scale[channel] + offset[channel];
    return silu ? y / (1 + std::exp(-y)) : y;
  }

  std::vector<float> by_kernel(Level level, bool task_by_task = false) {
    std::fill(out.begin(), out.end(), NAN);
    c.product.wide_out = out.data();
    if (c.weights.form == FastConvForm::kPairs) {
      const PairsInput in = input_rows(0, c.product.height);
      for (int64_t row = in.batch * (in.rows + 2); row-- > 0;) {
        write_pairs(in, row, row + 1, level);
      }
      c.product.x = pairs.data();
    } else {
      c.product.x = narrow_x.data(), c.product.x_pixel = inputs;
    }
    const int64_t tasks = fast_conv_tasks(c);
    if (!task_by_task) fast_conv_run(c, 0, tasks, level);
    for (int64_t i = task_by_task ? tasks : 0; i-- > 0;) fast_conv_run(c, i, i + 1, level);
    return out;
  }

  PairsInput input_rows(int64_t first, int64_t rows) {
    const ProductProblem& p = c.product;
    PairsInput in;
    in.wide_x = x.data(), in.scale = scale.data(), in.offset = offset.data(), in.silu = silu;
    in.batch = p.batch, in.height = p.height, in.width = p.width, in.inputs = inputs;
    in.first_row = first, in.rows = rows;
    pairs.assign(size_t(in.size()), 0x7fc0);
    in.pairs = pairs.data();
    return in;
  }

  // Sums in f64 of f32 numbers that are rounded nowhere.
  std::vector<float> exactly() const {
    const ProductProblem& p = c.product;
    const bool twice = c.weights.form == FastConvForm::kEnlarged;
    const int64_t factor = twice ? 2 : 1, high = p.height * factor, wide = p.width * factor;
    std::vector<float> result;
    for (int64_t i = 0; i < p.batch * high * wide * outputs; ++i) {
      const int64_t output = i % outputs, column = i / outputs % wide;
      const int64_t row = i / outputs / wide % high, picture = i / outputs / wide / high;
      double sum = double{bias[size_t(output)]} + double{residual[size_t(i)]};
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t y = row + tap / 3 - 1, x_at = column + tap % 3 - 1;
        if (y < 0 || y >= high || x_at < 0 || x_at >= wide) continue;
        const int64_t pixel = (picture * p.height + y / factor) * p.width + x_at / factor;
        for (int64_t k = 0; k < inputs; ++k) {
          const auto at = size_t(pixel * inputs + k);
          const float value = twice ? from_bf16(narrow_x[at]) : activated(at);
          sum += double{value} * double{weights[size_t((output * 9 + tap) * inputs + k)]};
        }
      }
      result.push_back(float(sum));
    }
    return result;
  }
};

// The root of the mean square of differences, or 1e9 if a number is none.
double apart(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = double{a[i]} - double{b[i]};
    if (!std::isfinite(d)) return 1e9;
    sum += d * d;
  }
  return std::sqrt(sum / double(a.size()));
}

// A number rounded to bf16 is off by 2^-9 of it at most, 0.0014 of it on average by squares. Inputs
// that are activated are of size sqrt(2); twice the mean error of the definition's products, each
// of two rounded factors, bounds that of a fast form.
constexpr double kTolerance = 2 * 0.0014 * 1.4143 * 1.4143;

const std::vector<FastConvWeights> kShapes = {{1, 2},    {64, 32},   {70, 34}, {48, 6},
                                              {130, 16}, {16, 1100}, {20, 520}};

}  // namespace

TEST_CASE("a convolution by pairs gives what the definition gives, at every shape") {
  for (const Level level : fast_conv_levels()) {
    for (FastConvWeights w : kShapes) {
      for (const Picture size : {Picture{1, 1, 1}, Picture{2, 5, 7}, Picture{1, 12, 30}}) {
        CAPTURE(w.outputs);
        CAPTURE(w.inputs);
        CAPTURE(size.width);
        FastCase c(w, size);
        REQUIRE(fast_conv_fits(w, level));
        CHECK(apart(c.by_kernel(level), c.exactly()) <= kTolerance);
        c.silu = true;
        CHECK(apart(c.by_kernel(level), c.exactly()) <= kTolerance);
      }
    }
  }
}

TEST_CASE("a convolution of an enlarged picture gives what the definition gives, at every shape") {
  for (const Level level : fast_conv_levels()) {
    for (FastConvWeights w : kShapes) {
      w.form = FastConvForm::kEnlarged;
      for (const Picture size : {Picture{1, 1, 1}, Picture{2, 3, 4}, Picture{1, 8, 15}}) {
        CAPTURE(w.outputs);
        CAPTURE(w.inputs);
        FastCase c(w, size);
        REQUIRE(fast_conv_fits(w, level));
        CHECK(apart(c.by_kernel(level), c.exactly()) <= kTolerance);
      }
    }
  }
}

TEST_CASE("a fast convolution does not depend on how its tasks are shared out") {
  for (const Level level : fast_conv_levels()) {
    for (const FastConvForm form : {FastConvForm::kPairs, FastConvForm::kEnlarged}) {
      for (const int64_t inputs : {24, 2000}) {
        FastCase c({200, inputs, form}, {1, 9, 31});
        CHECK(c.by_kernel(level) == c.by_kernel(level, /*task_by_task=*/true));
      }
    }
  }
}

TEST_CASE("pairs of some rows are those of the whole picture") {
  for (const Level level : fast_conv_levels()) {
    FastCase c({8, 20}, {2, 9, 5});
    c.silu = true;
    const PairsInput all = c.input_rows(0, 9);
    write_pairs(all, 0, 2 * 11, level);
    const std::vector<uint16_t> whole = c.pairs;
    const PairsInput some = c.input_rows(3, 6);
    write_pairs(some, 0, 2 * 8, level);
    const auto row = size_t(all.columns() * 4 * all.inputs);
    for (size_t i = 0; i < 8 * row; ++i) {
      REQUIRE(c.pairs[i] == whole[3 * row + i]);
      REQUIRE(c.pairs[8 * row + i] == whole[(11 + 3) * row + i]);
    }
  }
}

TEST_CASE("pairs of bf16 numbers without an activation are sums and differences of them") {
  for (const Level level : fast_conv_levels()) {
    FastCase c({8, 2}, {1, 1, 3});
    PairsInput in = c.input_rows(0, 1);
    c.narrow_x = {to_bf16(1), to_bf16(10), to_bf16(2), to_bf16(20), to_bf16(4), to_bf16(40)};
    in.wide_x = nullptr, in.x = c.narrow_x.data(), in.scale = in.offset = nullptr;
    write_pairs(in, 0, 3, level);
    const std::vector<float> expected = {-2, -20, 3, 30, 1,  10,  -3, -30,
                                         2,  20,  4, 40, -4, -40, 4,  40};
    for (size_t i = 0; i < 16; ++i) {
      CHECK(from_bf16(c.pairs[16 + i]) == expected[i]);
      CHECK(c.pairs[i] == 0);
      CHECK(c.pairs[32 + i] == 0);
    }
  }
}

TEST_CASE("weights of bf16 are packed as the same numbers in f32 are, and at every level alike") {
  for (const FastConvForm form : {FastConvForm::kPairs, FastConvForm::kEnlarged}) {
    FastCase c({70, 34, form}, {1, 1, 1});
    std::vector<uint16_t> narrow;
    for (float& weight : c.weights) narrow.push_back(to_bf16(weight));
    for (size_t i = 0; i < narrow.size(); ++i) c.weights[i] = from_bf16(narrow[i]);
    const auto packed = [&](const FastConvNumbers& numbers, Level level) {
      for (int64_t i = 0; i < fast_conv_panels(c.c.weights); ++i) {
        fast_conv_pack(c.c.weights, i, numbers, c.packed.get(), level);
      }
      return std::vector<uint16_t>(c.packed.get(),
                                   c.packed.get() + fast_conv_packed_size(c.c.weights));
    };
    FastConvNumbers narrow_numbers, wide_numbers;
    narrow_numbers.numbers = narrow.data(), wide_numbers.wide_numbers = c.weights.data();
    for (const Level level : fast_conv_levels()) {
      CHECK(packed(narrow_numbers, level) == packed(wide_numbers, level));
      CHECK(packed(wide_numbers, level) == packed(wide_numbers, fast_conv_levels().front()));
    }
  }
}

TEST_CASE("weights packed by pairs are given back, those between others within two roundings") {
  if (fast_conv_levels().empty()) return;
  FastCase c({70, 34}, {1, 1, 1});
  std::vector<float> back(c.weights.size());
  fast_conv_unpack(c.c.weights, c.packed.get(), back.data());
  for (size_t i = 0; i < back.size(); ++i) {
    const bool middle = i / 34 % 3 == 1;
    if (!middle) REQUIRE(back[i] == from_bf16(to_bf16(c.weights[i])));
    // Halves of sums of three weights of size 1/17 are below 0.25, and off by at most 2^-11 each.
    REQUIRE(std::fabs(back[i] - c.weights[i]) < 2 * std::exp2(-11));
  }
}

TEST_CASE("a fast convolution of no pixels has no tasks") {
  FastCase c({8, 2}, {1, 1, 3});
  c.c.product.width = 0;
  CHECK(fast_conv_tasks(c.c) == 0);
}
