// Products with packed weights in f32 (f32_tile.h), at every width of vectors. Everything is in an
// anonymous namespace: see vector_avx2.h.
#pragma once
#include "kernels/f32_tile.h"
#include "kernels/packed_product_loops.h"

namespace pangu::kernels {
namespace {

static_assert(kF32Rows == kPixelTile);

// Where the pixels of a tile take their inputs from: rows and columns of x of the first tap.
struct F32Pixels {
  const uint16_t* pictures[kF32Rows];  // null: there is no such pixel
  int64_t tops[kF32Rows], lefts[kF32Rows];
};

// Walks over the pixels of the result.
class F32Walk {
 public:
  F32Walk(const ProductProblem& p, int64_t pixel)
      : p_(p), high_(p.out_height()), wide_(p.out_width()) {
    picture_ = pixel / (high_ * wide_);
    row_ = pixel / wide_ % high_;
    column_ = pixel % wide_;
  }

  // Takes the next `count` pixels.
  F32Pixels take(int64_t count) {
    F32Pixels pixels = {};
    for (int64_t i = 0; i < count; ++i) {
      pixels.pictures[i] = p_.x + picture_ * p_.height * p_.width * p_.x_pixel;
      pixels.tops[i] = row_ * p_.stride - p_.padding;
      pixels.lefts[i] = column_ * p_.stride - p_.padding;
      if (++column_ == wide_) {
        column_ = 0;
        if (++row_ == high_) row_ = 0, ++picture_;
      }
    }
    return pixels;
  }

 private:
  const ProductProblem& p_;
  int64_t high_, wide_, picture_, row_, column_;
};

template <class V>
struct F32Kernel {
  using Vector = V;
  using PixelWalk = F32Walk;
  const ProductProblem& p;

  void add_products(const F32Pixels& pixels, const Visit& visit, int64_t width, bool adds,
                    float* sums) const {
    const ProductLayout layout(p.weights);
    const int64_t each = layout.tap_pairs;
    F32Segment segments[kMostTaps + 1];
    int64_t count = 0;
    for (int64_t tap = visit.begin / each; tap * each < visit.end; ++tap) {
      const int64_t first = tap * each > visit.begin ? tap * each : visit.begin;
      const int64_t last = (tap + 1) * each < visit.end ? (tap + 1) * each : visit.end;
      F32Segment& segment = segments[count++];
      segment.pairs = last - first;
      for (int64_t i = 0; i < kF32Rows; ++i) {
        const uint16_t* inputs = inputs_of(pixels, i, tap);
        segment.rows[i] = inputs ? inputs + 2 * (first - tap * each) : nullptr;
      }
    }
    const uint16_t* weights = p.packed + layout.panel_begin(visit.panel) + visit.begin * width * 2;
    multiply_panel_f32<V>(width, segments, count, weights, adds, sums);
  }
  void ask_ahead(int64_t pixel, int64_t count) const { ask_for_inputs(p, p.x, pixel, count); }
  const float* scales(int64_t) const { return nullptr; }

 private:
  // Null where zeros lie around the picture, or where there is no pixel.
  const uint16_t* inputs_of(const F32Pixels& pixels, int64_t i, int64_t tap) const {
    const int64_t twice = p.doubles ? 1 : 0;
    const int64_t y = pixels.tops[i] + tap / p.weights.wide;
    const int64_t x = pixels.lefts[i] + tap % p.weights.wide;
    // As unsigned numbers, negative ones are too large too.
    const bool there = pixels.pictures[i] && (uint64_t)y < (uint64_t)(p.height << twice) &&
                       (uint64_t)x < (uint64_t)(p.width << twice);
    if (!there) return nullptr;
    return pixels.pictures[i] + ((y >> twice) * p.width + (x >> twice)) * p.x_pixel;
  }
};

template <class V>
void run_products_f32(const ProductProblem& p, int64_t begin, int64_t end) {
  const ProductTasks tasks = product_work(p);
  TaskSums sums;
  const F32Kernel<V> kernel{p};
  for (int64_t task = begin; task < end; ++task) run_task(kernel, p, tasks, task, sums.numbers);
}

}  // namespace
}  // namespace pangu::kernels
