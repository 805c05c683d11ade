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
    multiply_panel<kVectors>(head + key * layout.key_numbers, work.q, layout.key_numbers / 2, s);
  }

  template <int kVectors>
  void mix(int64_t first, int64_t begin, int64_t end, Work& work) const {
    add_panels<kVectors>(head + layout.values + (first + begin) * kPanelRows,
                         layout.padded_keys * kPanelRows, layout.padded_width,
                         work.weights + begin * kVectors * kLanes, (end - begin) / 2, work.sums);
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
