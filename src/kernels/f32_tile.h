// The inner loop of the kernels without dot products of bf16 pairs: a tile of sums in registers, of
// rows of f32 numbers times columns of bf16 pairs, which become f32 as they are read (their bits
// are the upper half of an f32). Everything is in an anonymous namespace: see vector_avx2.h.
#pragma once
#include "kernels/packed_product_layout.h"

namespace pangu::kernels {
namespace {

constexpr int64_t kF32Rows = 6;  // of a tile

// Vectors of columns beside each other: with the rows, a broadcast number and the columns they fill
// the registers.
template <class V>
constexpr int kF32Vectors = V::kCount == 8 ? 2 : 4;

// Where columns of pairs lie: sixteen side by side, [16][2] numbers; distances are in numbers.
struct PairColumns {
  const uint16_t* first;
  int64_t next_pair;     // from one pair of all columns to the next
  int64_t next_sixteen;  // from sixteen columns to the next ones

  // The columns from `column` on, a multiple of the width of a vector.
  const uint16_t* at(int64_t column) const {
    return first + column / 16 * next_sixteen + column % 16 * 2;
  }
  PairColumns from_pair(int64_t pair) const {
    return {first + pair * next_pair, next_pair, next_sixteen};
  }
};

// sums[kF32Rows][vectors], rows kSumsRow apart, (+)= rows of 2 `pairs` numbers, kRow apart, times
// columns from `column` on. Not inlined: its sums fill the registers.
template <class V, int kVectors, int64_t kRow, int64_t kSumsRow>
[[gnu::noinline]] void multiply_f32(const float* rows, int64_t pairs, const PairColumns& columns,
                                    int64_t column, bool adds, float* sums) {
  using Floats = typename V::Floats;
  Floats s[kF32Rows][kVectors];
  for (int i = 0; i < kF32Rows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      s[i][j] = adds ? V::load(sums + i * kSumsRow + j * V::kCount) : V::zero();
    }
  }
  const uint16_t* from[kVectors];
  for (int j = 0; j < kVectors; ++j) from[j] = columns.at(column + j * V::kCount);
  const int64_t next = columns.next_pair;
  for (int64_t k = 0; k < pairs; ++k, rows += 2) {
    Floats c[kVectors];
    for (int j = 0; j < kVectors; ++j) c[j] = V::first_of_pairs(from[j]);
    for (int i = 0; i < kF32Rows; ++i) {
      const Floats row = V::all_of(rows[i * kRow]);
      for (int j = 0; j < kVectors; ++j) s[i][j] = V::fma(row, c[j], s[i][j]);
    }
    for (int j = 0; j < kVectors; ++j) c[j] = V::second_of_pairs(from[j]), from[j] += next;
    for (int i = 0; i < kF32Rows; ++i) {
      const Floats row = V::all_of(rows[i * kRow + 1]);
      for (int j = 0; j < kVectors; ++j) s[i][j] = V::fma(row, c[j], s[i][j]);
    }
  }
  for (int i = 0; i < kF32Rows; ++i) {
    for (int j = 0; j < kVectors; ++j) V::store(sums + i * kSumsRow + j * V::kCount, s[i][j]);
  }
}

// The same for columns [0, width), in steps of as many as there are registers for. What lies beyond
// `width` up to a whole vector is computed too.
template <class V, int64_t kRow, int64_t kSumsRow>
void multiply_f32_columns(const float* rows, int64_t pairs, const PairColumns& columns,
                          int64_t width, bool adds, float* sums) {
  constexpr int kMost = kF32Vectors<V>;
  for (int64_t column = 0; column < width; column += kMost * V::kCount) {
    const int64_t vectors = (width - column + V::kCount - 1) / V::kCount;
    float* to = sums + column;
    if (vectors >= kMost) {
      multiply_f32<V, kMost, kRow, kSumsRow>(rows, pairs, columns, column, adds, to);
    } else if (vectors == 1) {
      multiply_f32<V, 1, kRow, kSumsRow>(rows, pairs, columns, column, adds, to);
    } else if (vectors == 2) {
      multiply_f32<V, 2, kRow, kSumsRow>(rows, pairs, columns, column, adds, to);
    } else {
      multiply_f32<V, 3, kRow, kSumsRow>(rows, pairs, columns, column, adds, to);
    }
  }
}

// Writes `count` bf16 numbers, which is even, as f32.
template <class V>
inline void widen(const uint16_t* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + V::kCount <= count; i += V::kCount) V::store_any(to + i, V::load_bf16(from + i));
  if (i < count) {
    const auto lanes = V::first(count - i);
    V::store(to + i, lanes, V::load_bf16(from + i, lanes));
  }
}

// One run of inputs that lie side by side for each pixel of a tile.
struct F32Segment {
  const uint16_t* rows[kF32Rows];  // null: zeros
  int64_t pairs;
};

// Pairs of a tile's inputs that are f32 at a time: they stay in the nearest cache.
constexpr int64_t kF32Pairs = 256;
constexpr int64_t kF32Row = 2 * kF32Pairs + 16;  // not a power of 2, so that rows share no lines

// sums[kF32Rows][kPanel] (+)= the products of the segments with a panel. b: [pairs][width][2].
template <class V>
void multiply_panel_f32(int64_t width, const F32Segment* segments, int64_t count, const uint16_t* b,
                        bool adds, float* sums) {
  alignas(64) float numbers[kF32Rows * kF32Row];
  PairColumns columns{b, 2 * width, 32};
  int64_t filled = 0;
  const auto flush = [&] {
    multiply_f32_columns<V, kF32Row, kPanel>(numbers, filled, columns, width, adds, sums);
    columns = columns.from_pair(filled);
    filled = 0, adds = true;
  };
  for (int64_t n = 0; n < count; ++n) {
    const F32Segment& segment = segments[n];
    for (int64_t done = 0; done < segment.pairs;) {
      const int64_t left = segment.pairs - done, room = kF32Pairs - filled;
      const int64_t pairs = left < room ? left : room;
      for (int64_t i = 0; i < kF32Rows; ++i) {
        float* to = numbers + i * kF32Row + 2 * filled;
        if (segment.rows[i]) {
          widen<V>(segment.rows[i] + 2 * done, 2 * pairs, to);
        } else {
          __builtin_memset(to, 0, sizeof *to * (size_t)(2 * pairs));
        }
      }
      done += pairs, filled += pairs;
      if (filled == kF32Pairs) flush();
    }
  }
  if (filled > 0 || !adds) flush();
}

}  // namespace
}  // namespace pangu::kernels
