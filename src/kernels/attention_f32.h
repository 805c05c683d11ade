// Attention in f32 (f32_tile.h), at every width of vectors: six queries are the rows of a tile, and
// sixteen keys, or columns of the values, its columns. The scores of a block of keys become weights
// before the next block is taken; what was summed follows the greatest score. Everything is in an
// anonymous namespace: see vector_avx2.h.
#pragma once
#include "kernels/attention_layout.h"
#include "kernels/f32_tile.h"
#include "kernels/vector_math.h"

namespace pangu::kernels {
namespace {

constexpr int64_t kF32Keys = 128;  // whose scores are kept
constexpr int64_t kF32Queries = f32::kForm.vectors * kLanes;
constexpr int64_t kWideRow = kMostWidth + 16;  // not a power of 2: see kF32Row
constexpr int64_t kScoreRow = kF32Keys + 16;
static_assert(kF32Queries % kF32Rows == 0);

// One task's working memory. Powers are of 2, and scores in units of log 2.
struct F32Work {
  alignas(64) float q[kF32Queries * kWideRow];
  alignas(64) float sums[kF32Queries * kWideRow];  // of weighted values
  alignas(64) float scores[kF32Queries * kScoreRow];
  alignas(64) float bias[kF32Keys];
  float origin[kF32Queries];  // the greatest score; -inf until a key counts
  float total[kF32Queries];   // of the weights
};

// Sixteen keys' pairs lie side by side, then the next pair's.
inline void pack_keys_f32(const uint16_t* from, int64_t row, int64_t keys, int64_t padded_keys,
                          int64_t width, uint16_t* to) {
  for (int64_t key = 0; key < padded_keys; ++key) {
    uint16_t* at = to + key / 16 * 16 * width + key % 16 * 2;
    for (int64_t i = 0; i < width; i += 2, at += 32) {
      key < keys ? __builtin_memcpy(at, from + key * row + i, 4) : __builtin_memset(at, 0, 4);
    }
  }
}

// Sixteen columns of two keys lie side by side, then the next keys'.
inline void pack_values_f32(const uint16_t* from, int64_t row, int64_t keys, int64_t padded_keys,
                            int64_t width, uint16_t* to) {
  for (int64_t column = 0; column < width; column += 16) {
    const int64_t columns = width - column < 16 ? width - column : 16;
    for (int64_t key = 0; key < padded_keys; key += 2, to += 32) {
      __builtin_memset(to, 0, 64);
      for (int64_t half = 0; half < 2 && key + half < keys; ++half) {
        const uint16_t* numbers = from + (key + half) * row + column;
        for (int64_t i = 0; i < columns; ++i) to[2 * i + half] = numbers[i];
      }
    }
  }
}

inline void pack_attention_f32(const AttentionProblem& p, uint16_t* packed, int64_t begin,
                               int64_t end) {
  const AttentionLayout layout = attention_layout(p, f32::kForm);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / p.heads, h = task % p.heads;
    uint16_t* head = packed + task * layout.head;
    pack_keys_f32(p.k + b * p.k_batch + h * p.width, p.k_row, p.keys, layout.padded_keys, p.width,
                  head);
    pack_values_f32(p.v + b * p.v_batch + h * p.width, p.v_row, p.keys, layout.padded_keys, p.width,
                    head + layout.values);
  }
}

// The bias of keys [first, first + keys), -inf where there is no key; null if none is needed.
inline const float* bias_f32(const AttentionProblem& p, int64_t b, int64_t first, int64_t keys,
                             F32Work& work) {
  if (!p.bias && first + keys <= p.keys) return nullptr;
  constexpr float kLog2E = 1.44269504088896341f;
  for (int64_t i = 0; i < keys; ++i) {
    const bool there = first + i < p.keys;
    work.bias[i] = !there   ? -__builtin_inff()
                   : p.bias ? kLog2E * p.bias[b * p.keys + first + i]
                            : 0.0f;
  }
  return work.bias;
}

// Turns the scores of one query into weights, and has its sums follow.
template <class V>
inline void weigh_f32(int64_t query, int64_t keys, float factor, const float* bias, int64_t width,
                      F32Work& work) {
  using Floats = typename V::Floats;
  float* scores = work.scores + query * kScoreRow;
  const Floats scale = V::all_of(factor);
  Floats most = V::all_of(-__builtin_inff());
  for (int64_t i = 0; i < keys; i += V::kCount) {
    const Floats score = bias ? V::fma(V::load(scores + i), scale, V::load(bias + i))
                              : V::mul(V::load(scores + i), scale);
    V::store(scores + i, score);
    most = V::greater(most, score);
  }
  const float greatest = V::greatest(most), before = work.origin[query];
  if (greatest > before) {
    work.origin[query] = greatest;
    alignas(64) float kept[V::kCount];
    V::store(kept, exp2_of<V>(V::all_of(before - greatest)));
    work.total[query] *= kept[0];
    float* sums = work.sums + query * kWideRow;
    for (int64_t i = 0; i < width; i += V::kCount) {
      V::store(sums + i, V::mul(V::load(sums + i), V::load(kept)));
    }
  }
  const bool counts = !(work.origin[query] == -__builtin_inff());
  const Floats origin = V::all_of(counts ? work.origin[query] : 0);
  Floats total = V::zero();
  for (int64_t i = 0; i < keys; i += V::kCount) {
    const Floats weight = exp2_of<V>(V::sub(V::load(scores + i), origin));
    V::store(scores + i, weight);
    total = V::add(total, weight);
  }
  work.total[query] += V::sum(total);
}

template <class V>
void run_queries_f32(const AttentionProblem& p, const AttentionLayout& layout, const uint16_t* head,
                     int64_t b, int64_t h, int64_t first, int64_t there, F32Work& work) {
  const int64_t rows = round_up(there, kF32Rows);
  const float factor = p.scale * 1.44269504088896341f;
  for (int64_t i = 0; i < rows; ++i) {
    float* q = work.q + i * kWideRow;
    if (i < there) {
      widen<V>(p.q + b * p.q_batch + (first + i) * p.q_row + h * p.width, p.width, q);
    } else {
      __builtin_memset(q, 0, sizeof *q * (size_t)p.width);
    }
    __builtin_memset(work.sums + i * kWideRow, 0, sizeof(float) * (size_t)layout.padded_width);
    work.origin[i] = -__builtin_inff(), work.total[i] = 0;
  }
  for (int64_t key = 0; key < layout.padded_keys; key += kF32Keys) {
    const int64_t left = layout.padded_keys - key, keys = left < kF32Keys ? left : kF32Keys;
    const PairColumns k{head + key * p.width, 32, 16 * p.width};
    const PairColumns v{head + layout.values + key * 16, 32, 16 * layout.padded_keys};
    const float* bias = bias_f32(p, b, key, keys, work);
    for (int64_t i = 0; i < rows; i += kF32Rows) {
      float* scores = work.scores + i * kScoreRow;
      multiply_f32_columns<V, kWideRow, kScoreRow>(work.q + i * kWideRow, p.width / 2, k, keys,
                                                   /*adds=*/false, scores);
      for (int64_t n = i; n < i + kF32Rows; ++n) {
        weigh_f32<V>(n, keys, factor, bias, layout.padded_width, work);
      }
      multiply_f32_columns<V, kScoreRow, kWideRow>(scores, keys / 2, v, p.width, /*adds=*/true,
                                                   work.sums + i * kWideRow);
    }
  }
  for (int64_t i = 0; i < there; ++i) {
    uint16_t* out = p.out + ((b * p.queries + first + i) * p.heads + h) * p.width;
    // Without any key that counts the sums are 0, and stay so; a NaN stays one.
    const auto inverse = V::all_of(work.total[i] == 0 ? 0 : 1 / work.total[i]);
    for (int64_t j = 0; j < p.width; j += V::kCount) {
      V::store_bf16(out + j, V::first(p.width - j),
                    V::mul(V::load(work.sums + i * kWideRow + j), inverse));
    }
    if (p.log_sums) {
      p.log_sums[(b * p.heads + h) * p.queries + first + i] =
          log_sum(work.origin[i], work.total[i]);
    }
  }
}

template <class V>
void run_attention_f32(const AttentionProblem& p, const uint16_t* packed, int64_t begin,
                       int64_t end) {
  const AttentionLayout layout = attention_layout(p, f32::kForm);
  F32Work work;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / layout.tasks / p.heads, h = task / layout.tasks % p.heads;
    const int64_t first = task % layout.tasks * layout.queries, left = p.queries - first;
    run_queries_f32<V>(p, layout, packed + (b * p.heads + h) * layout.head, b, h, first,
                       left < layout.queries ? left : layout.queries, work);
  }
}

}  // namespace
}  // namespace pangu::kernels
