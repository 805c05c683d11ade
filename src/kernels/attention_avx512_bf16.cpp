// Attention by AVX-512 and dot products of bf16 pairs. This file is compiled for such processors
// whatever the rest is compiled for (CMakeLists.txt), so it includes nothing that defines inline
// functions which others use too: the linker could keep the copy made here.
#include "kernels/attention_pairs.h"

namespace pangu::kernels::avx512_bf16 {
namespace {

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
