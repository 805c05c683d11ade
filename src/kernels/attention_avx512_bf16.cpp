// Attention by AVX-512 and dot products of bf16 pairs. This file is compiled for such processors
// whatever the rest is compiled for (CMakeLists.txt), so it includes nothing that defines inline
// functions which others use too: the linker could keep the copy made here.
#include <immintrin.h>

#include "kernels/attention_layout.h"
#include "kernels/avx512_math.h"

namespace pangu::kernels::avx512_bf16 {
namespace {

constexpr float kLog2E = 1.44269504088896341f;
constexpr int64_t kMostTiles = 4;  // vectors of scores or sums beside each other in a tile

inline __m512bh pairs(__m512i bits) { return (__m512bh)bits; }

// c[rows][16 columns x vectors] (+)= a b. a: [rows][2 x count] numbers; b: `vectors` panels of
// [count][16][2]. Not inlined: its sums fill the registers.
template <int kRows, int kVectors, bool kAdds>
[[gnu::noinline]] void product(const uint16_t* a, int64_t a_row, const uint16_t* b, int64_t panel,
                               int64_t count, float* c, int64_t c_row) {
  __m512 sums[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      sums[i][j] = kAdds ? _mm512_load_ps(c + i * c_row + j * kLanes) : _mm512_setzero_ps();
    }
  }
  for (int64_t k = 0; k < count; ++k) {
    __m512i columns[kVectors];
    for (int j = 0; j < kVectors; ++j) {
      columns[j] = _mm512_load_si512(b + j * panel + k * 2 * kLanes);
    }
    for (int i = 0; i < kRows; ++i) {
      int pair;
      __builtin_memcpy(&pair, a + i * a_row + 2 * k, sizeof pair);
      const __m512bh row = pairs(_mm512_set1_epi32(pair));
      for (int j = 0; j < kVectors; ++j) {
        sums[i][j] = _mm512_dpbf16_ps(sums[i][j], pairs(columns[j]), row);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) _mm512_store_ps(c + i * c_row + j * kLanes, sums[i][j]);
  }
}

// The same for any number of panels.
template <bool kAdds>
void products(const uint16_t* a, int64_t a_row, const uint16_t* b, int64_t panel, int64_t panels,
              int64_t count, float* c, int64_t c_row) {
  for (; panels >= kMostTiles; panels -= kMostTiles) {
    product<kRowTile, kMostTiles, kAdds>(a, a_row, b, panel, count, c, c_row);
    b += kMostTiles * panel;
    c += kMostTiles * kLanes;
  }
  if (panels == 3) product<kRowTile, 3, kAdds>(a, a_row, b, panel, count, c, c_row);
  if (panels == 2) product<kRowTile, 2, kAdds>(a, a_row, b, panel, count, c, c_row);
  if (panels == 1) product<kRowTile, 1, kAdds>(a, a_row, b, panel, count, c, c_row);
}

// One task's working memory.
struct Work {
  alignas(64) uint16_t q[kNarrowQueries * kNarrowWidth];
  alignas(64) float sums[kNarrowQueries * kNarrowWidth];  // of weighted values
  alignas(64) float scores[kRowTile * kKeyBlock];
  alignas(64) uint16_t weights[kRowTile * kKeyBlock];
  alignas(64) float bias[kKeyBlock];
  float most[kNarrowQueries], total[kNarrowQueries];
};
static_assert(kWideQueries * kMostWidth <= kNarrowQueries * kNarrowWidth);

// Scores = scale scores + bias, if there is a bias, and their greatest.
inline float greatest(float* scores, const float* bias, float scale, int64_t columns) {
  if (bias) {
    for (int64_t j = 0; j < columns; j += kLanes) {
      const __m512 s = _mm512_load_ps(scores + j);
      _mm512_store_ps(scores + j,
                      _mm512_fmadd_ps(s, _mm512_set1_ps(scale), _mm512_load_ps(bias + j)));
    }
  }
  __m512 most = _mm512_set1_ps(-__builtin_inff()), more = most;
  int64_t j = 0;
  for (; j + 2 * kLanes <= columns; j += 2 * kLanes) {
    most = _mm512_max_ps(_mm512_load_ps(scores + j), most);
    more = _mm512_max_ps(_mm512_load_ps(scores + j + kLanes), more);
  }
  if (j < columns) most = _mm512_max_ps(_mm512_load_ps(scores + j), most);
  return _mm512_reduce_max_ps(_mm512_max_ps(most, more));
}

// weights = 2^(factor (scores - most)) in bf16; returns their sum in f32.
inline float weigh(const float* scores, float factor, float most, int64_t columns,
                   uint16_t* weights) {
  const __m512 scale = _mm512_set1_ps(factor), shift = _mm512_set1_ps(-factor * most);
  __m512 sum = _mm512_setzero_ps(), more = _mm512_setzero_ps();
  int64_t j = 0;
  for (; j + 2 * kLanes <= columns; j += 2 * kLanes) {
    const __m512 low = exp2_of(_mm512_fmadd_ps(_mm512_load_ps(scores + j), scale, shift));
    const __m512 high = exp2_of(_mm512_fmadd_ps(_mm512_load_ps(scores + j + kLanes), scale, shift));
    sum = _mm512_add_ps(sum, low);
    more = _mm512_add_ps(more, high);
    _mm512_store_si512(weights + j, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
  if (j < columns) {
    const __m512 last = exp2_of(_mm512_fmadd_ps(_mm512_load_ps(scores + j), scale, shift));
    sum = _mm512_add_ps(sum, last);
    _mm256_store_si256((__m256i*)(weights + j), (__m256i)_mm512_cvtneps_pbh(last));
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(sum, more));
}

inline float exp2_of(float t) { return _mm512_cvtss_f32(kernels::exp2_of(_mm512_set1_ps(t))); }

// The bias of keys [first, first + columns) with -inf where there is no key; null if none is
// needed.
const float* bias_of(const AttentionProblem& p, int64_t b, int64_t first, int64_t columns,
                     Work& work) {
  if (!p.bias && first + columns <= p.keys) return nullptr;
  for (int64_t j = 0; j < columns; ++j) {
    const bool there = first + j < p.keys;
    work.bias[j] = !there ? -__builtin_inff() : p.bias ? p.bias[b * p.keys + first + j] : 0.0f;
  }
  return work.bias;
}

// Takes the keys of one block into the sums of six rows.
void take_block(const AttentionLayout& layout, const uint16_t* head, int64_t first, int64_t columns,
                const float* bias, float bias_scale, float factor, int64_t row, Work& work) {
  const int64_t sums_row = layout.padded_width;
  products<false>(work.q + row * layout.width, layout.width, head + first * layout.width,
                  layout.key_panel(), columns / kLanes, layout.width / 2, work.scores, kKeyBlock);
  // Row after row, each of these would wait for the one before.
  float greater[kRowTile];
  for (int64_t i = 0; i < kRowTile; ++i) {
    greater[i] = greatest(work.scores + i * kKeyBlock, bias, bias_scale, columns);
  }
  for (int64_t i = 0; i < kRowTile; ++i) {
    float& most = work.most[row + i];
    if (greater[i] > most) {
      const float kept = exp2_of(factor * (most - greater[i]));  // 0 at the first block
      work.total[row + i] *= kept;
      float* sums = work.sums + (row + i) * sums_row;
      for (int64_t j = 0; j < sums_row; j += kLanes) {
        _mm512_store_ps(sums + j, _mm512_mul_ps(_mm512_load_ps(sums + j), _mm512_set1_ps(kept)));
      }
      most = greater[i];
    }
  }
  for (int64_t i = 0; i < kRowTile; ++i) {
    // A row without any key that counts has no greatest score, and weights of 0.
    const float most = work.most[row + i];
    const float origin = most == -__builtin_inff() ? 0.0f : most;
    work.total[row + i] +=
        weigh(work.scores + i * kKeyBlock, factor, origin, columns, work.weights + i * kKeyBlock);
  }
  products<true>(work.weights, kKeyBlock, head + layout.values + first * kLanes,
                 layout.value_panel(), layout.padded_width / kLanes, columns / 2,
                 work.sums + row * sums_row, sums_row);
}

void write_row(const Work& work, const AttentionLayout& layout, int64_t row, uint16_t* out) {
  const float total = work.total[row];
  const __m512 factor = _mm512_set1_ps(total > 0 ? 1 / total : total);  // a NaN stays one
  for (int64_t j = 0; j < layout.width; j += kLanes) {
    const __m512 mixed =
        _mm512_mul_ps(_mm512_load_ps(work.sums + row * layout.padded_width + j), factor);
    store_bf16(out + j, first_lanes(layout.width - j), mixed);
  }
}

void run_task(const AttentionProblem& p, const AttentionLayout& layout, const uint16_t* packed,
              int64_t task, Work& work) {
  const int64_t blocks = (p.queries + layout.queries - 1) / layout.queries;
  const int64_t b = task / blocks / p.heads, h = task / blocks % p.heads;
  const int64_t first = task % blocks * layout.queries;
  const int64_t there = p.queries - first < layout.queries ? p.queries - first : layout.queries;
  const int64_t rows = round_up(there, kRowTile);
  const uint16_t* head = packed + (b * p.heads + h) * layout.head;
  for (int64_t row = 0; row < rows; ++row) {
    uint16_t* to = work.q + row * p.width;
    if (row < there) {
      const uint16_t* from = p.q + b * p.q_batch + (first + row) * p.q_row + h * p.width;
      __builtin_memcpy(to, from, sizeof(uint16_t) * (size_t)p.width);
    } else {
      __builtin_memset(to, 0, sizeof(uint16_t) * (size_t)p.width);
    }
    work.most[row] = -__builtin_inff();
    work.total[row] = 0;
  }
  // Where the problem has a bias, scores are scaled when it is added, else when they become
  // weights.
  const float bias_scale = p.bias ? p.scale : 1.0f;
  const float factor = p.bias ? kLog2E : p.scale * kLog2E;
  __builtin_memset(work.sums, 0, sizeof(float) * (size_t)(rows * layout.padded_width));
  for (int64_t key = 0; key < layout.padded_keys; key += kKeyBlock) {
    const int64_t left = layout.padded_keys - key;
    const int64_t columns = left < kKeyBlock ? left : kKeyBlock;
    const float* bias = bias_of(p, b, key, columns, work);
    for (int64_t row = 0; row < rows; row += kRowTile) {
      take_block(layout, head, key, columns, bias, bias_scale, factor, row, work);
    }
  }
  for (int64_t row = 0; row < there; ++row) {
    write_row(work, layout, row, p.out + ((b * p.queries + first + row) * p.heads + h) * p.width);
  }
}

// The values of one pair of keys, of 16 columns at most.
inline __m512i value_pairs(const uint16_t* low, const uint16_t* high, int64_t left) {
  const __mmask16 lanes = first_lanes(left);
  const __m512i first = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, low));
  if (!high) return first;
  const __m512i second = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, high));
  return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}

void pack_head(const AttentionProblem& p, const AttentionLayout& layout, int64_t b, int64_t h,
               uint16_t* head) {
  const uint16_t* k = p.k + b * p.k_batch + h * p.width;
  for (int64_t key = 0; key < layout.padded_keys; ++key) {
    uint16_t* to = head + key / kLanes * layout.key_panel() + key % kLanes * 2;
    for (int64_t i = 0; i < p.width; i += 2) {
      int pair = 0;
      if (key < p.keys) __builtin_memcpy(&pair, k + key * p.k_row + i, sizeof pair);
      __builtin_memcpy(to + i * kLanes, &pair, sizeof pair);
    }
  }
  const uint16_t* v = p.v + b * p.v_batch + h * p.width;
  for (int64_t column = 0; column < p.width; column += kLanes) {
    uint16_t* to = head + layout.values + column / kLanes * layout.value_panel();
    for (int64_t key = 0; key < layout.padded_keys; key += 2) {
      const uint16_t* low = v + key * p.v_row + column;
      const __m512i both =
          key < p.keys
              ? value_pairs(low, key + 1 < p.keys ? low + p.v_row : nullptr, p.width - column)
              : _mm512_setzero_si512();
      _mm512_store_si512(to + key * kLanes, both);
    }
  }
}

}  // namespace

void pack(const AttentionProblem& p, uint16_t* packed, int64_t begin, int64_t end) {
  const AttentionLayout layout(p);
  for (int64_t task = begin; task < end; ++task) {
    pack_head(p, layout, task / p.heads, task % p.heads, packed + task * layout.head);
  }
}

void run(const AttentionProblem& p, const uint16_t* packed, int64_t begin, int64_t end) {
  const AttentionLayout layout(p);
  Work work;
  for (int64_t task = begin; task < end; ++task) run_task(p, layout, packed, task, work);
}

}  // namespace pangu::kernels::avx512_bf16
