// The part of attention that every level with AVX-512 shares: scores become weights, sums follow
// the greatest score, queries and results are transposed. Everything here has internal linkage: a
// file that includes this is compiled for such processors alone, and no copy may serve the rest of
// the program.
#pragma once
#include <immintrin.h>

#include "kernels/attention_layout.h"
#include "kernels/avx512_math.h"

namespace pangu::kernels {
namespace {

constexpr int kScoreRows = 8;  // keys whose scores are in registers
constexpr float kLog2E = 1.44269504088896341f;
// The weights of a row are powers of 2 of its scores less an origin, which follows the greatest
// score only when that is so far above: until then they are at most 2^8, and neither they nor their
// sums lose a digit.
constexpr float kMostAbove = 8;

// One task's working memory. Vectors have a lane for each query.
struct Work {
  alignas(64) uint16_t q[kMostWidth * kMostQueries];       // [width / 2][queries][2]
  alignas(64) uint16_t weights[kKeyBlock * kMostQueries];  // [key pairs][queries][2]
  alignas(64) float sums[kMostWidth * kMostQueries];       // [width][queries], of weighted values
  alignas(64) float scores[kKeyStep * kMostQueries];       // [keys][queries], of tiles
  alignas(64) float bias[kKeyBlock];                       // in units of log 2
  alignas(64) float most[kMostQueries];    // of the scores of one tile, in units of log 2
  alignas(64) float limit[kMostQueries];   // origin + kMostAbove
  alignas(64) float origin[kMostQueries];  // 0 until a key counts
  alignas(64) float total[kMostQueries];   // of the weights
};

// The scores of eight keys from `key` on become weights in bf16, unless one is above its limit:
// false, and work.most says by how much. `bias`, of the eight keys, is added if kBiased.
template <int kVectors, bool kBiased, class Engine>
[[gnu::noinline]] bool weigh(Engine& engine, int64_t key, float factor, const float* bias,
                             Work& work, uint16_t* weights) {
  __m512 s[kScoreRows][kVectors];
  engine.scores(key, work, s);
  const __m512 scale = _mm512_set1_ps(factor);
  __mmask16 above = 0;
  for (int j = 0; j < kVectors; ++j) {
    if (kBiased) {
      for (int i = 0; i < kScoreRows; ++i) {
        s[i][j] = _mm512_fmadd_ps(s[i][j], scale, _mm512_set1_ps(bias[i]));
      }
    }
    const __m512 a =
        _mm512_max_ps(_mm512_max_ps(s[0][j], s[1][j]), _mm512_max_ps(s[2][j], s[3][j]));
    const __m512 b =
        _mm512_max_ps(_mm512_max_ps(s[4][j], s[5][j]), _mm512_max_ps(s[6][j], s[7][j]));
    __m512 most = _mm512_max_ps(a, b);
    if (!kBiased) most = _mm512_mul_ps(most, scale);
    _mm512_store_ps(work.most + j * kLanes, most);
    above |= _mm512_cmp_ps_mask(most, _mm512_load_ps(work.limit + j * kLanes), _CMP_GT_OQ);
  }
  if (above) return false;
  // The total is of the weights as they are rounded, so that their errors cancel in part.
  const __m512bh ones = (__m512bh)_mm512_set1_epi32(0x3f803f80);
  for (int j = 0; j < kVectors; ++j) {
    const __m512 origin = _mm512_load_ps(work.origin + j * kLanes);
    __m512 total = _mm512_load_ps(work.total + j * kLanes);
    for (int i = 0; i < kScoreRows; i += 2) {
      __m512 w[2];
      for (int n = 0; n < 2; ++n) {
        w[n] = exp2_of<Avx512>(kBiased ? _mm512_sub_ps(s[i + n][j], origin)
                                       : _mm512_fmsub_ps(s[i + n][j], scale, origin));
      }
      const __m512i both = paired(w[0], w[1]);
      total = _mm512_dpbf16_ps(total, (__m512bh)both, ones);
      _mm512_store_si512(weights + (i / 2 * kVectors + j) * 2 * kLanes, both);
    }
    _mm512_store_ps(work.total + j * kLanes, total);
  }
  return true;
}

// Raises the origins of the queries whose greatest score is above the limit.
template <int kVectors>
[[gnu::noinline]] void raise_origins(int64_t columns, Work& work) {
  for (int j = 0; j < kVectors; ++j) {
    const __m512 most = _mm512_load_ps(work.most + j * kLanes);
    const __m512 limit = _mm512_load_ps(work.limit + j * kLanes);
    const __mmask16 above = _mm512_cmp_ps_mask(most, limit, _CMP_GT_OQ);
    const __m512 above_by = _mm512_set1_ps(kMostAbove);
    // 0 where no key has counted so far: the limit is -inf.
    const __m512 kept = exp2_of<Avx512>(_mm512_sub_ps(_mm512_sub_ps(limit, above_by), most));
    _mm512_mask_store_ps(work.origin + j * kLanes, above, most);
    _mm512_mask_store_ps(work.limit + j * kLanes, above, _mm512_add_ps(most, above_by));
    for (int64_t i = -1; i < columns; ++i) {
      float* at = i < 0 ? work.total + j * kLanes : work.sums + (i * kVectors + j) * kLanes;
      const __m512 sum = _mm512_load_ps(at);
      _mm512_store_ps(at, _mm512_mask_mul_ps(sum, above, sum, kept));
    }
  }
}

// The bias of keys [first, first + columns) in units of log 2, with -inf where there is no key;
// null if none is needed.
inline const float* bias_of(const AttentionProblem& p, int64_t b, int64_t first, int64_t columns,
                            Work& work) {
  if (!p.bias && first + columns <= p.keys) return nullptr;
  for (int64_t j = 0; j < columns; ++j) {
    const bool there = first + j < p.keys;
    work.bias[j] = !there   ? -__builtin_inff()
                   : p.bias ? kLog2E * p.bias[b * p.keys + first + j]
                            : 0.0f;
  }
  return work.bias;
}

// Takes the keys [first, first + columns) into the sums. Weights lie where their keys do in the
// block.
template <int kVectors, class Engine>
void take_block(const AttentionProblem& p, Engine& engine, int64_t first, int64_t columns,
                const float* bias, Work& work) {
  const float factor = p.scale * kLog2E;
  int64_t mixed = 0;  // keys whose weights are in the sums
  for (int64_t key = 0; key < columns;) {
    uint16_t* weights = work.weights + key * kVectors * kLanes;
    const bool weighed =
        bias ? weigh<kVectors, true>(engine, first + key, factor, bias + key, work, weights)
             : weigh<kVectors, false>(engine, first + key, factor, nullptr, work, weights);
    if (weighed) {
      key += kScoreRows;
      continue;
    }
    engine.template mix<kVectors>(first, mixed, key, work);
    mixed = key;
    raise_origins<kVectors>(engine.layout.padded_width, work);
  }
  engine.template mix<kVectors>(first, mixed, columns, work);
}

// Pairs [first, first + 16) of sixteen rows of `width` numbers, transposed: a vector a pair. Rows
// from `there` on are 0.
inline void load_transposed(const uint16_t* from, int64_t row, int64_t there, int64_t first,
                            int64_t width, __m512i (&r)[kLanes]) {
  const __mmask16 lanes = Avx512::first(width / 2 - first);
  for (int64_t i = 0; i < kLanes; ++i) {
    r[i] = i < there ? _mm512_maskz_loadu_epi32(lanes, from + i * row + 2 * first)
                     : _mm512_setzero_si512();
  }
  transpose(r);
}

// to: [pairs][queries][2]. What lies beyond the width is 0.
template <int kVectors>
inline void load_queries(const uint16_t* from, int64_t row, int64_t there, int64_t width,
                         int64_t pairs, uint16_t* to) {
  for (int64_t j = 0; j < kVectors; ++j) {
    for (int64_t first = 0; first < pairs; first += kLanes) {
      __m512i r[kLanes];
      load_transposed(from + j * kLanes * row, row, there - j * kLanes, first, width, r);
      for (int64_t i = 0; i < kLanes && first + i < pairs; ++i) {
        _mm512_store_si512(to + ((first + i) * kVectors + j) * 2 * kLanes, r[i]);
      }
    }
  }
}

template <int kVectors>
inline void write_results(const Work& work, int64_t there, int64_t width, uint16_t* to,
                          int64_t row) {
  for (int64_t j = 0; j < kVectors; ++j) {
    const __m512 total = _mm512_load_ps(work.total + j * kLanes), none = _mm512_setzero_ps();
    // Without any key that counts the sums are 0, and stay so; a NaN stays one.
    const __mmask16 counts = _mm512_cmp_ps_mask(total, none, _CMP_NEQ_UQ);
    const __m512 factor = _mm512_maskz_div_ps(counts, _mm512_set1_ps(1), total);
    for (int64_t first = 0; first < width / 2; first += kLanes) {
      __m512i r[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        if (first + i >= width / 2) {
          r[i] = _mm512_setzero_si512();
          continue;
        }
        const float* sums = work.sums + (2 * (first + i) * kVectors + j) * kLanes;
        r[i] = paired(_mm512_mul_ps(_mm512_load_ps(sums), factor),
                      _mm512_mul_ps(_mm512_load_ps(sums + kVectors * kLanes), factor));
      }
      transpose(r);
      const __mmask16 lanes = Avx512::first(width / 2 - first);
      for (int64_t i = 0; i < kLanes && j * kLanes + i < there; ++i) {
        _mm512_mask_storeu_epi32(to + (j * kLanes + i) * row + 2 * first, lanes, r[i]);
      }
    }
  }
}

// log_sums: of the task's queries.
inline void write_log_sums(const Work& work, int64_t there, float* log_sums) {
  for (int64_t i = 0; i < there; ++i) {
    log_sums[i] = log_sum(work.origin[i], work.total[i]);
  }
}

template <int kVectors, class Engine>
void run_queries(const AttentionProblem& p, Engine& engine, int64_t b, int64_t h, int64_t first,
                 int64_t there, Work& work) {
  const AttentionLayout& layout = engine.layout;
  load_queries<kVectors>(p.q + b * p.q_batch + first * p.q_row + h * p.width, p.q_row, there,
                         p.width, layout.key_numbers / 2, work.q);
  for (int64_t i = 0; i < kVectors * kLanes; ++i) {
    work.limit[i] = -__builtin_inff();
    work.origin[i] = work.total[i] = 0;
  }
  __builtin_memset(work.sums, 0, sizeof(float) * (size_t)(layout.padded_width * kVectors * kLanes));
  for (int64_t key = 0; key < layout.padded_keys; key += kKeyBlock) {
    const int64_t left = layout.padded_keys - key;
    const int64_t columns = left < kKeyBlock ? left : kKeyBlock;
    take_block<kVectors>(p, engine, key, columns, bias_of(p, b, key, columns, work), work);
  }
  write_results<kVectors>(work, there, p.width,
                          p.out + ((b * p.queries + first) * p.heads + h) * p.width,
                          p.heads * p.width);
  if (p.log_sums) {
    write_log_sums(work, there, p.log_sums + (b * p.heads + h) * p.queries + first);
  }
}

// Tasks [begin, end) by an engine, which computes scores of keys and mixes values:
//   AttentionLayout layout;
//   const uint16_t* head;  // packed keys and values of the task's head
//   void scores(int64_t key, Work&, __m512 (&)[kScoreRows][kVectors]);  // of keys [key, key + 8)
//   template <int kVectors> void mix(int64_t first, int64_t begin, int64_t end, Work&);
// Mixing adds the values of keys [first + begin, first + end), times their weights, to the sums.
template <class Engine>
void run_tasks(const AttentionProblem& p, Engine& engine, const uint16_t* packed, int64_t begin,
               int64_t end) {
  const AttentionLayout& layout = engine.layout;
  Work work;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / layout.tasks / p.heads, h = task / layout.tasks % p.heads;
    const int64_t first = task % layout.tasks * layout.queries, left = p.queries - first;
    const int64_t there = left < layout.queries ? left : layout.queries;
    engine.head = packed + (b * p.heads + h) * layout.head;
    if constexpr (Engine::kVectorsAtOnce > 2) {
      if (there > 2 * kLanes) {
        run_queries<3>(p, engine, b, h, first, there, work);
        continue;
      }
    }
    there > kLanes ? run_queries<2>(p, engine, b, h, first, there, work)
                   : run_queries<1>(p, engine, b, h, first, there, work);
  }
}

}  // namespace
}  // namespace pangu::kernels
