// Attention by AVX-512 and dot products of bf16 pairs. This file is compiled for such processors
// whatever the rest is compiled for (CMakeLists.txt), so it includes nothing that defines inline
// functions which others use too: the linker could keep the copy made here.
#include "kernels/attention_softmax.h"

namespace pangu::kernels::avx512_bf16 {
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

// Scores and mixes by dot products in registers.
struct Engine {
  static constexpr int kVectorsAtOnce = 3;
  AttentionLayout layout;
  const uint16_t* head = nullptr;

  template <int kVectors>
  [[gnu::always_inline]] void scores(int64_t key, const Work& work,
                                     __m512 (&s)[kScoreRows][kVectors]) const {
    for (auto& row : s) {
      for (__m512& sum : row) sum = _mm512_setzero_ps();
    }
    multiply<kVectors>(head + key * layout.key_numbers, work.q, layout.key_numbers / 2, s);
  }

  template <int kVectors>
  [[gnu::noinline]] void mix(int64_t first, int64_t begin, int64_t end, Work& work) const {
    const uint16_t* values = head + layout.values + (first + begin) * kPanelRows;
    const uint16_t* weights = work.weights + begin * kVectors * kLanes;
    for (int64_t column = 0; column < layout.padded_width; column += kPanelRows) {
      float* sums = work.sums + column * kVectors * kLanes;
      __m512 s[kPanelRows][kVectors];
      for (int i = 0; i < kPanelRows; ++i) {
        for (int j = 0; j < kVectors; ++j) {
          s[i][j] = _mm512_load_ps(sums + (i * kVectors + j) * kLanes);
        }
      }
      multiply<kVectors>(values, weights, (end - begin) / 2, s);
      for (int i = 0; i < kPanelRows; ++i) {
        for (int j = 0; j < kVectors; ++j) {
          _mm512_store_ps(sums + (i * kVectors + j) * kLanes, s[i][j]);
        }
      }
      values += layout.padded_keys * kPanelRows;
    }
  }
};

// Two panels of keys at once.
void pack_keys(const uint16_t* from, int64_t row, int64_t keys, int64_t width, uint16_t* to) {
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
void pack_values(const uint16_t* from, int64_t row, int64_t keys, int64_t padded_keys,
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

void pack(const AttentionProblem& p, uint16_t* packed, int64_t begin, int64_t end) {
  const AttentionLayout layout = attention_layout(p, kForm);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / p.heads, h = task % p.heads;
    uint16_t* head = packed + task * layout.head;
    pack_keys(p.k + b * p.k_batch + h * p.width, p.k_row, p.keys, p.width, head);
    pack_values(p.v + b * p.v_batch + h * p.width, p.v_row, p.keys, layout.padded_keys, p.width,
                head + layout.values);
  }
}

void run(const AttentionProblem& p, const uint16_t* packed, int64_t begin, int64_t end) {
  Engine engine{.layout = attention_layout(p, kForm)};
  run_tasks(p, engine, packed, begin, end);
}

}  // namespace pangu::kernels::avx512_bf16
