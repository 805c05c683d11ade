#include "kernels/packed_product.h"

#include <algorithm>
#include <cstring>

#include "kernels/bf16.h"
#include "kernels/packed_product_tasks.h"
#include "kernels/plain_activation.h"

namespace pangu::kernels {
namespace {

constexpr int64_t kPackedAtOnce = 16;  // pairs of an output: a line of the cache
constexpr int64_t kPrefetchedAhead = 64;

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

bool product_fits(const ProductWeights& w) {
  if (w.level == Level::kPlain || w.outputs < 1 || w.inputs < 2 || w.inputs % 2 != 0) return false;
  if (w.activation == ProductActivation::kGeglu && w.outputs % 2 != 0) return false;
  return w.taps() <= kMostTaps;
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
    for (int64_t tap = 0; tap < w.taps(); ++tap) {
      // The places of these pairs stay in the nearest cache while output after output is written
      // into them.
      for (int64_t first = 0; first < layout.tap_pairs; first += kPackedAtOnce) {
        const int64_t end = std::min(first + kPackedAtOnce, layout.tap_pairs);
        for (int64_t column = 0; column < width; ++column) {
          const int64_t output = ProductLayout::output(w, panel, width, column);
          const int64_t known = output < 0 ? first : std::clamp(w.inputs / 2, first, end);
          const uint16_t* from =
              numbers + (std::max<int64_t>(output, 0) * w.taps() + tap) * w.inputs;
          __builtin_prefetch(from + (first + kPrefetchedAhead) * 2);
          uint16_t* pair = to + (tap * layout.tap_pairs * width + column) * 2;
          for (int64_t k = first; k < known; ++k) {
            std::memcpy(pair + k * width * 2, from + k * 2, 2 * sizeof *pair);
          }
          for (int64_t k = known; k < end; ++k) {
            std::memset(pair + k * width * 2, 0, 2 * sizeof *pair);
          }
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
      for (int64_t k = 0; k < layout.pairs && output >= 0; ++k) {
        const int64_t tap = k / layout.tap_pairs, input = k % layout.tap_pairs * 2;
        if (input >= w.inputs) continue;
        std::memcpy(numbers + (output * w.taps() + tap) * w.inputs + input,
                    from + (k * width + column) * 2, 2 * sizeof *numbers);
      }
    }
  }
}

int64_t product_tasks(const ProductProblem& p) {
  if (p.out_pixels() <= 0) return 0;
  const ProductTasks tasks = product_work(p);
  return tasks.groups * tasks.blocks;
}

void product_run(const ProductProblem& p, int64_t begin, int64_t end) {
  switch (p.weights.level) {
    case Level::kPlain:
      return;
    case Level::kAvx2:
      return avx2::product_run(p, begin, end);
    case Level::kAvx512:
      return avx512::product_run(p, begin, end);
    case Level::kAvx512Bf16:
      return avx512_bf16::product_run(p, begin, end);
    case Level::kAmxEmulated:
      return amx::product_run_emulated(p, begin, end);
    case Level::kAmx:
      return amx::product_run(p, begin, end);
  }
}

void plain_product(const ProductProblem& p, const uint16_t* numbers) {
  const bool geglu = p.weights.activation == ProductActivation::kGeglu;
  const int64_t results = p.weights.results();
  for (int64_t pixel = 0; pixel < p.out_pixels(); ++pixel) {
    for (int64_t i = 0; i < results; ++i) {
      double y = plain_sum(p, numbers, pixel, i);
      y = geglu ? y * plain_activation(ProductActivation::kGelu,
                                       plain_sum(p, numbers, pixel, results + i))
                : plain_activation(p.weights.activation, y);
      store_plain_result(p, pixel, i, y);
    }
  }
}

}  // namespace pangu::kernels
