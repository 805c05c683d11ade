#include "kernels/int8_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/int8_product_layout.h"
#include "kernels/plain_activation.h"

namespace pangu::kernels {
namespace {

constexpr float kMostCode = 127;

// The factor of numbers whose greatest size is `most`, and what they are multiplied with. Of sizes
// so small that the inverse would be infinite nothing is left.
struct CodeFactor {
  float factor, inverse;

  explicit CodeFactor(float most) : factor(most / kMostCode), inverse(kMostCode / most) {
    if (most < std::numeric_limits<float>::min() * kMostCode) factor = inverse = 0;
  }
};

float greatest_size(const float* numbers, int64_t count) {
  float most = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float size = std::fabs(numbers[i]);
    if (!(size <= most)) most = size;  // not-a-number stays
    if (most != most) break;
  }
  return most;
}

// REQUIRES: |number * inverse| is at most 127, up to rounding, or not finite
int code_of(float number, float inverse) {
  const float code = std::nearbyint(number * inverse);
  return std::isfinite(code) ? static_cast<int>(code) : 0;
}

// The sum of one pixel and output over the taps and inputs, and its factors.
double plain_int8_sum(const Int8Problem& q, const int8_t* codes, int64_t pixel, int64_t output) {
  const ProductProblem& p = q.product;
  const ProductWeights& w = p.weights;
  const int64_t column = pixel % p.out_width(), row = pixel / p.out_width() % p.out_height();
  const int64_t picture = pixel / p.out_width() / p.out_height(), factor = p.doubles ? 2 : 1;
  double sum = 0;
  for (int64_t tap = 0; tap < w.taps(); ++tap) {
    const int64_t y = row * p.stride - p.padding + tap / w.wide;
    const int64_t x = column * p.stride - p.padding + tap % w.wide;
    if (y < 0 || y >= p.height * factor || x < 0 || x >= p.width * factor) continue;
    const int64_t from = (picture * p.height + y / factor) * p.width + x / factor;
    const int8_t* weight = codes + (output * w.taps() + tap) * w.inputs;
    int64_t products = 0;
    for (int64_t i = 0; i < w.inputs; ++i) {
      products += (q.x[from * p.x_pixel + i] - 128) * weight[i];
    }
    sum += double(products) * double{q.x_factors[from]};
  }
  return sum;
}

}  // namespace

bool int8_fits(const ProductWeights& w, Level level) {
  return multiplies_bytes(level) && product_fits(w) && w.inputs % 4 == 0 &&
         w.inputs <= kMostInt8Inputs;
}

void int8_round(const ProductWeights& w, const uint16_t* numbers, int8_t* codes, float* factors,
                int64_t begin, int64_t end) {
  const int64_t count = w.taps() * w.inputs;
  std::vector<float> wide(static_cast<size_t>(count));
  for (int64_t output = begin; output < end; ++output) {
    for (int64_t i = 0; i < count; ++i) {
      wide[static_cast<size_t>(i)] = from_bf16(numbers[output * count + i]);
    }
    const CodeFactor factor(greatest_size(wide.data(), count));
    factors[output] = factor.factor;
    for (int64_t i = 0; i < count; ++i) {
      codes[output * count + i] =
          static_cast<int8_t>(code_of(wide[static_cast<size_t>(i)], factor.inverse));
    }
  }
}

int64_t int8_packed_size(const ProductWeights& w) {
  const Int8Layout layout(w);
  return layout.columns.columns * layout.rows() * 4;
}

void int8_pack(const ProductWeights& w, const int8_t* codes, const float* factors,
               std::byte* packed, int64_t begin, int64_t end) {
  const Int8Layout layout(w);
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t width = layout.columns.width(panel);
    std::byte* to = packed + 4 * layout.panel_begin(panel);
    auto* offsets = reinterpret_cast<int32_t*>(to + 4 * layout.offsets_begin(width));
    auto* scales = reinterpret_cast<float*>(to + 4 * layout.factors_begin(width));
    for (int64_t column = 0; column < width; ++column) {
      const int64_t output = ProductLayout::output(w, panel, width, column);
      const int8_t* from = output < 0 ? nullptr : codes + output * layout.taps * w.inputs;
      scales[column] = from ? factors[output] : 0;
      for (int64_t tap = 0; tap < layout.taps; ++tap) {
        int32_t sum = 0;
        for (int64_t k = 0; k < layout.quads; ++k) {
          std::byte* quad = to + ((tap * layout.quads + k) * width + column) * 4;
          if (!from) {
            std::memset(quad, 0, 4);
            continue;
          }
          const int8_t* four = from + tap * w.inputs + 4 * k;
          std::memcpy(quad, four, 4);
          sum += four[0] + four[1] + four[2] + four[3];
        }
        offsets[tap * width + column] = -128 * sum;
      }
    }
  }
}

void int8_unpack(const ProductWeights& w, const std::byte* packed, int8_t* codes, float* factors) {
  const Int8Layout layout(w);
  for (int64_t panel = 0; panel < layout.columns.panels; ++panel) {
    const int64_t width = layout.columns.width(panel);
    const std::byte* from = packed + 4 * layout.panel_begin(panel);
    const auto* scales = reinterpret_cast<const float*>(from + 4 * layout.factors_begin(width));
    for (int64_t column = 0; column < width; ++column) {
      const int64_t output = ProductLayout::output(w, panel, width, column);
      if (output < 0) continue;
      factors[output] = scales[column];
      for (int64_t k = 0; k < layout.taps * layout.quads; ++k) {
        std::memcpy(codes + output * layout.taps * w.inputs + 4 * k,
                    from + (k * width + column) * 4, 4);
      }
    }
  }
}

int64_t int8_tasks(const Int8Problem& p) {
  if (p.product.out_pixels() <= 0) return 0;
  const ProductTasks tasks = int8_work(p.product);
  return tasks.groups * tasks.blocks;
}

void int8_run(const Int8Problem& p, int64_t begin, int64_t end, Level level) {
  has_pair_products(level) ? avx512_bf16::int8_run(p, begin, end)
                           : avx512_vnni::int8_run(p, begin, end);
}

void plain_int8_product(const Int8Problem& q, const int8_t* codes, const float* factors) {
  const ProductProblem& p = q.product;
  const int64_t results = p.weights.results();
  for (int64_t pixel = 0; pixel < p.out_pixels(); ++pixel) {
    const auto complete = [&](int64_t output) {
      return plain_int8_sum(q, codes, pixel, output) * double{factors[output]} +
             (p.bias ? double{p.bias[output]} : 0);
    };
    for (int64_t i = 0; i < results; ++i) {
      const bool geglu = p.weights.activation == ProductActivation::kGeglu;
      const double y =
          geglu ? complete(i) * plain_activation(ProductActivation::kGelu, complete(results + i))
                : plain_activation(p.weights.activation, complete(i));
      store_plain_result(p, pixel, i, y);
    }
  }
}

bool int8_rows_fit(int64_t inputs) { return inputs >= 1 && inputs <= kMostInt8Inputs; }

void int8_rows(const Int8Rows& rows, int64_t begin, int64_t end, Level level) {
  if (!multiplies_bytes(level)) return plain_int8_rows(rows, begin, end);
  has_pair_products(level) ? avx512_bf16::int8_rows(rows, begin, end)
                           : avx512_vnni::int8_rows(rows, begin, end);
}

void plain_int8_rows(const Int8Rows& r, int64_t begin, int64_t end) {
  std::vector<float> y(static_cast<size_t>(r.inputs));
  for (int64_t row = begin; row < end; ++row) {
    const int64_t picture = row / r.rows_a_picture * r.inputs;
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < r.inputs; ++i) {
      mean += double{from_bf16(r.x[row * r.inputs + i])} / double(r.inputs);
    }
    for (int64_t i = 0; i < r.inputs; ++i) {
      const double apart = double{from_bf16(r.x[row * r.inputs + i])} - mean;
      squares += apart * apart / double(r.inputs);
    }
    for (int64_t i = 0; i < r.inputs; ++i) {
      double z = double{from_bf16(r.x[row * r.inputs + i])};
      if (r.scale) z = z * double{r.scale[picture + i]} + double{r.shift[picture + i]};
      if (r.norm_weight) {
        z = (z - mean) / std::sqrt(squares + double{r.eps}) * double{r.norm_weight[i]} +
            double{r.norm_bias[i]};
      }
      if (r.silu) z = plain_activation(ProductActivation::kSilu, z);
      y[static_cast<size_t>(i)] = float(z);
    }
    const CodeFactor factor(greatest_size(y.data(), r.inputs));
    r.factors[row] = factor.factor;
    for (int64_t i = 0; i < r.inputs; ++i) {
      r.codes[row * r.inputs + i] =
          static_cast<uint8_t>(128 + code_of(y[static_cast<size_t>(i)], factor.inverse));
    }
  }
}

}  // namespace pangu::kernels
