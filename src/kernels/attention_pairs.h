// Attention's factors for dot products of bf16 pairs: how they are packed, and how two are
// multiplied. Everything here has internal linkage: see attention_softmax.h.
#pragma once
#include "kernels/attention_softmax.h"

namespace pangu::kernels {
namespace {

constexpr int kPanelRows = 8;  // of the left factors
static_assert(kPanelRows == kScoreRows);

// sums[8][vectors] += a b. a: [count][8][2], b: [count][vectors][16][2].
template <int kVectors>
[[gnu::always_inline]] inline void multiply(const uint16_t* a, const uint16_t* b, int64_t count,
                                            __m512 (&sums)[kPanelRows][kVectors]) {
  for (int64_t k = 0; k < count; ++k) {
    __m512bh columns[kVectors];
    for (int j = 0; j < kVectors; ++j) {
      columns[j] = (__m512bh)_mm512_load_si512(b + (k * kVectors + j) * 2 * kLanes);
    }
    for (int i = 0; i < kPanelRows; ++i) {
      int pair;
      __builtin_memcpy(&pair, a + (k * kPanelRows + i) * 2, sizeof pair);
      const __m512bh row = (__m512bh)_mm512_set1_epi32(pair);
      for (int j = 0; j < kVectors; ++j) {
        sums[i][j] = _mm512_dpbf16_ps(sums[i][j], columns[j], row);
      }
    }
  }
}

// The same from 0 on.
template <int kVectors>
[[gnu::always_inline]] inline void multiply_panel(const uint16_t* a, const uint16_t* b,
                                                  int64_t count,
                                                  __m512 (&sums)[kPanelRows][kVectors]) {
  for (auto& row : sums) {
    for (__m512& sum : row) sum = _mm512_setzero_ps();
  }
  multiply<kVectors>(a, b, count, sums);
}

// sums[rows][vectors][16] += a b. a: panels [count][8][2], `panel` numbers apart, of `rows` rows;
// b: [count][vectors][16][2].
template <int kVectors>
[[gnu::noinline]] void add_panels(const uint16_t* a, int64_t panel, int64_t rows, const uint16_t* b,
                                  int64_t count, float* sums) {
  for (int64_t row = 0; row < rows; row += kPanelRows) {
    __m512 s[kPanelRows][kVectors];
    for (int i = 0; i < kPanelRows; ++i) {
      for (int j = 0; j < kVectors; ++j) {
        s[i][j] = _mm512_load_ps(sums + (i * kVectors + j) * kLanes);
      }
    }
    multiply<kVectors>(a, b, count, s);
    for (int i = 0; i < kPanelRows; ++i) {
      for (int j = 0; j < kVectors; ++j) {
        _mm512_store_ps(sums + (i * kVectors + j) * kLanes, s[i][j]);
      }
    }
    a += panel;
    sums += kPanelRows * kVectors * kLanes;
  }
}

// Two panels of keys at once.
inline void pack_keys(const uint16_t* from, int64_t row, int64_t keys, int64_t width,
                      uint16_t* to) {
  for (int64_t key = 0; key < keys; key += kLanes) {
    for (int64_t first = 0; first < width / 2; first += kLanes) {
      __m512i r[kLanes];
      load_transposed(from + key * row, row, keys - key, first, width, r);
      for (int64_t i = 0; i < kLanes && first + i < width / 2; ++i) {
        uint16_t* at = to + key * width + (first + i) * 2 * kPanelRows;
        _mm256_storeu_si256((__m256i*)at, _mm512_castsi512_si256(r[i]));
        if (key + kPanelRows >= keys) continue;
        _mm256_storeu_si256((__m256i*)(at + kPanelRows * width),
                            _mm512_extracti64x4_epi64(r[i], 1));
      }
    }
  }
}

// A panel of columns after the other, so that each is written from its begin to its end.
inline void pack_values(const uint16_t* from, int64_t row, int64_t keys, int64_t padded_keys,
                        int64_t width, uint16_t* to) {
  for (int64_t column = 0; column < width; column += kPanelRows) {
    const __mmask8 lanes = (__mmask8)Avx512::first(width - column);
    for (int64_t key = 0; key < padded_keys; key += 2) {
      const uint16_t* low = from + key * row + column;
      const __m128i none = _mm_setzero_si128();
      const __m128i a = key < keys ? _mm_maskz_loadu_epi16(lanes, low) : none;
      const __m128i b = key + 1 < keys ? _mm_maskz_loadu_epi16(lanes, low + row) : none;
      _mm_storeu_si128((__m128i*)to, _mm_unpacklo_epi16(a, b));
      _mm_storeu_si128((__m128i*)(to + kPanelRows), _mm_unpackhi_epi16(a, b));
      to += 2 * kPanelRows;
    }
  }
}

}  // namespace
}  // namespace pangu::kernels
