// The inner loop of the AVX-512 kernels for products of bf16 numbers: a tile of sums in registers.
// Everything is in an anonymous namespace, for a file that includes this is compiled for such
// processors alone, and no copy may serve the rest of the program.
#pragma once
#include <immintrin.h>

#include "kernels/packed_product_layout.h"

namespace pangu::kernels {
namespace {

// One run of inputs that lie side by side for each pixel of a tile.
struct Segment {
  const uint16_t* rows[8];  // the first kPixelTile of them
  int64_t pairs;
};

// sums[pixels][16 x vectors] (+)= the products of the segments with a panel. b: [pairs][16 x
// vectors][2]. Not inlined: its sums fill the registers.
template <int kPixels, int kVectors>
[[gnu::noinline]] void multiply(const Segment* segments, int64_t count, const uint16_t* b,
                                bool adds, float* sums) {
  constexpr int64_t kVector = 16;
  __m512 s[kPixels][kVectors];
  for (int i = 0; i < kPixels; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      s[i][j] = adds ? _mm512_load_ps(sums + i * kPanel + j * kVector) : _mm512_setzero_ps();
    }
  }
  for (int64_t n = 0; n < count; ++n) {
    const uint16_t* const* rows = segments[n].rows;
    const int64_t pairs = segments[n].pairs;
    for (int64_t k = 0; k < pairs; ++k) {
      __m512bh columns[kVectors];
      for (int j = 0; j < kVectors; ++j) {
        columns[j] = (__m512bh)_mm512_load_si512(b + j * 2 * kVector);
      }
      b += 2 * kVector * kVectors;
      for (int i = 0; i < kPixels; ++i) {
        int pair;
        __builtin_memcpy(&pair, rows[i] + 2 * k, sizeof pair);
        const __m512bh row = (__m512bh)_mm512_set1_epi32(pair);
        for (int j = 0; j < kVectors; ++j) s[i][j] = _mm512_dpbf16_ps(s[i][j], columns[j], row);
      }
    }
  }
  for (int i = 0; i < kPixels; ++i) {
    for (int j = 0; j < kVectors; ++j) _mm512_store_ps(sums + i * kPanel + j * kVector, s[i][j]);
  }
}

inline void multiply_panel(int64_t width, const Segment* segments, int64_t count, const uint16_t* b,
                           bool adds, float* sums) {
  switch (width) {
    case 64:
      return multiply<kPixelTile, 4>(segments, count, b, adds, sums);
    case 48:
      return multiply<kPixelTile, 3>(segments, count, b, adds, sums);
    case 32:
      return multiply<kPixelTile, 2>(segments, count, b, adds, sums);
    default:
      return multiply<kPixelTile, 1>(segments, count, b, adds, sums);
  }
}

}  // namespace
}  // namespace pangu::kernels
