#include "kernels/packed_product.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/packed_product_tasks.h"

namespace pangu::kernels {
namespace {

double activated(ProductActivation activation, double x) {
  switch (activation) {
    case ProductActivation::kSilu:
      return x / (1 + std::exp(-x));
    case ProductActivation::kGelu:
      return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
    default:
      return x;
  }
}

// The sum of one pixel and output over the taps and inputs.
double plain_sum(const ProductProblem& p, const uint16_t* numbers, int64_t pixel, int64_t output) {
  const ProductWeights& w = p.weights;
  const int64_t column = pixel % p.out_width(), row = pixel / p.out_width() % p.out_height();
  const int64_t picture = pixel / p.out_width() / p.out_height(), factor = p.doubles ? 2 : 1;
  double sum = p.bias ? p.bias[output] : 0;
  for (int64_t tap = 0; tap < w.taps(); ++tap) {
    const int64_t y = row * p.stride - p.padding + tap / w.wide;
    const int64_t x = column * p.stride - p.padding + tap % w.wide;
    if (y < 0 || y >= p.height * factor || x < 0 || x >= p.width * factor) continue;
    const uint16_t* from =
        p.x + ((picture * p.height + y / factor) * p.width + x / factor) * p.x_pixel;
    const uint16_t* weight = numbers + (output * w.taps() + tap) * w.inputs;
    for (int64_t i = 0; i < w.inputs; ++i) {
      sum += double{from_bf16(from[i])} * double{from_bf16(weight[i])};
    }
  }
  return sum;
}

}  // namespace

bool product_fits(const ProductWeights& w, Level level) {
  if (level != Level::kAvx512Bf16 || w.outputs < 1 || w.inputs < 2 || w.inputs % 2 != 0) {
    return false;
  }
  if (w.activation == ProductActivation::kGeglu && w.outputs % 2 != 0) return false;
  return w.taps() <= kMostTaps && w.inputs <= kMostPaddedInputs;
}

int64_t product_packed_size(const ProductWeights& w) {
  const ProductLayout layout(w);
  return layout.columns * layout.pairs * 2;
}

int64_t product_pack_tasks(const ProductWeights& w) { return ProductLayout(w).panels; }

void product_pack(const ProductWeights& w, const uint16_t* numbers, uint16_t* packed, int64_t begin,
                  int64_t end) {
  const ProductLayout layout(w);
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t width = layout.width(panel);
    uint16_t* to = packed + layout.panel_begin(panel);
    for (int64_t column = 0; column < width; ++column) {
      const int64_t output = ProductLayout::output(w, panel, width, column);
      const uint16_t* from = output < 0 ? nullptr : numbers + output * layout.pairs * 2;
      for (int64_t k = 0; k < layout.pairs; ++k) {
        uint16_t* pair = to + (k * width + column) * 2;
        if (from) {
          std::memcpy(pair, from + 2 * k, 2 * sizeof *pair);
        } else {
          pair[0] = pair[1] = 0;
        }
      }
    }
  }
}

void product_unpack(const ProductWeights& w, const uint16_t* packed, uint16_t* numbers) {
  const ProductLayout layout(w);
  for (int64_t panel = 0; panel < layout.panels; ++panel) {
    const int64_t width = layout.width(panel);
    const uint16_t* from = packed + layout.panel_begin(panel);
    for (int64_t column = 0; column < width; ++column) {
      const int64_t output = ProductLayout::output(w, panel, width, column);
      if (output < 0) continue;
      for (int64_t k = 0; k < layout.pairs; ++k) {
        std::memcpy(numbers + output * layout.pairs * 2 + 2 * k, from + (k * width + column) * 2,
                    2 * sizeof *numbers);
      }
    }
  }
}

int64_t product_tasks(const ProductProblem& p) {
  if (p.out_pixels() <= 0) return 0;
  const ProductTasks tasks(p);
  return tasks.groups * tasks.blocks;
}

void product_run(const ProductProblem& p, int64_t begin, int64_t end, Level level) {
  if (level == Level::kAvx512Bf16) avx512_bf16::product_run(p, begin, end);
}

void plain_product(const ProductProblem& p, const uint16_t* numbers) {
  const bool geglu = p.weights.activation == ProductActivation::kGeglu;
  const int64_t results = p.weights.results();
  for (int64_t pixel = 0; pixel < p.out_pixels(); ++pixel) {
    for (int64_t i = 0; i < results; ++i) {
      double y = plain_sum(p, numbers, pixel, i);
      y = geglu ? y * activated(ProductActivation::kGelu, plain_sum(p, numbers, pixel, results + i))
                : activated(p.weights.activation, y);
      const int64_t from = pixel * p.residual_pixel + i, to = pixel * p.out_pixel + i;
      if (p.residual) y += double{from_bf16(p.residual[from])};
      if (p.wide_residual) y += double{p.wide_residual[from]};
      if (p.wide_out) p.wide_out[to] = float(y);
      if (p.out) p.out[to] = to_bf16(float(y));
    }
  }
}

}  // namespace pangu::kernels
