// Attention's scores and mixes by tiles (kernels/tiles.h): what an engine of attention_softmax.h
// needs. Everything here has internal linkage: see there.
#pragma once
#include "kernels/attention_softmax.h"
#include "kernels/tiles.h"

namespace pangu::kernels {
namespace {

template <class Tiles>
struct TileEngine {
  static constexpr int kVectorsAtOnce = 2;
  AttentionLayout layout;
  const uint16_t* head = nullptr;
  Tiles tiles = {};

  // Those of kKeyStep keys are computed together, and kept until all are read.
  template <int kVectors>
  void scores(int64_t key, Work& work, __m512 (&s)[kScoreRows][kVectors]) {
    const int64_t in_step = key % kKeyStep;
    if (in_step == 0) all_scores<kVectors>(key, work);
    const float* from = work.scores + in_step * kVectors * kLanes;
    for (int i = 0; i < kScoreRows; ++i) {
      for (int j = 0; j < kVectors; ++j)
        s[i][j] = _mm512_load_ps(from + (i * kVectors + j) * kLanes);
    }
  }

  // Tiles hold whole multiples of kKeyStep keys: the other weights of a step become 0, for they are
  // in the sums already, or not yet computed.
  template <int kVectors>
  [[gnu::noinline]] void mix(int64_t first, int64_t begin, int64_t end, Work& work) {
    const int64_t whole_begin = begin / kKeyStep * kKeyStep, whole_end = round_up(end, kKeyStep);
    clear_weights<kVectors>(whole_begin, begin, work);
    clear_weights<kVectors>(end, whole_end, work);
    const int64_t panel = layout.padded_keys * kTileRows;
    const uint16_t* values = head + layout.values + (first + whole_begin) * kTileRows;
    const uint16_t* weights = work.weights + whole_begin * kVectors * kLanes;
    const int64_t steps = (whole_end - whole_begin) / kKeyStep;
    int64_t column = 0;
    for (; column + 2 * kTileRows <= layout.padded_width; column += 2 * kTileRows) {
      mix_panels<kVectors, 2>(values, panel, weights, steps,
                              work.sums + column * kVectors * kLanes);
      values += 2 * panel;
    }
    if (column < layout.padded_width) {
      mix_panels<kVectors, 1>(values, panel, weights, steps,
                              work.sums + column * kVectors * kLanes);
    }
  }

 private:
  static constexpr int64_t kTile = kTileRows * kTileNumbers;  // numbers of bf16

  // Tiles 0 to 3 hold the sums, 4 and 5 the left factor, 6 and 7 the right one.
  template <int kVectors, int kPanels>
  void multiply(const uint16_t* left, int64_t panel, const uint16_t* right, int64_t steps) {
    constexpr int64_t kRow = kVectors * kLanes * 4;  // bytes
    for (int64_t k = 0; k < steps; ++k) {
      tiles.template load<4>(left + k * kTile, 64);
      if constexpr (kPanels > 1) tiles.template load<5>(left + panel + k * kTile, 64);
      const uint16_t* from = right + k * kVectors * kTile;
      tiles.template load<6>(from, kRow);
      if constexpr (kVectors > 1) tiles.template load<7>(from + 2 * kLanes, kRow);
      tiles.template dot<0, 4, 6>();
      if constexpr (kVectors > 1) tiles.template dot<1, 4, 7>();
      if constexpr (kPanels > 1) tiles.template dot<2, 5, 6>();
      if constexpr (kPanels > 1 && kVectors > 1) tiles.template dot<3, 5, 7>();
    }
  }

  template <int kVectors>
  void all_scores(int64_t key, Work& work) {
    constexpr int64_t kRow = kVectors * kLanes * 4;
    tiles.template zero<0>(), tiles.template zero<1>();
    tiles.template zero<2>(), tiles.template zero<3>();
    multiply<kVectors, 2>(head + key * layout.key_numbers, kTileRows * layout.key_numbers, work.q,
                          layout.key_numbers / kTileNumbers);
    float* second = work.scores + kTileRows * kVectors * kLanes;
    tiles.template store<0>(work.scores, kRow);
    tiles.template store<2>(second, kRow);
    if constexpr (kVectors > 1) tiles.template store<1>(work.scores + kLanes, kRow);
    if constexpr (kVectors > 1) tiles.template store<3>(second + kLanes, kRow);
  }

  template <int kVectors, int kPanels>
  void mix_panels(const uint16_t* values, int64_t panel, const uint16_t* weights, int64_t steps,
                  float* sums) {
    constexpr int64_t kRow = kVectors * kLanes * 4;
    float* second = sums + kTileRows * kVectors * kLanes;
    tiles.template load<0>(sums, kRow);
    if constexpr (kVectors > 1) tiles.template load<1>(sums + kLanes, kRow);
    if constexpr (kPanels > 1) tiles.template load<2>(second, kRow);
    if constexpr (kPanels > 1 && kVectors > 1) tiles.template load<3>(second + kLanes, kRow);
    multiply<kVectors, kPanels>(values, panel, weights, steps);
    tiles.template store<0>(sums, kRow);
    if constexpr (kVectors > 1) tiles.template store<1>(sums + kLanes, kRow);
    if constexpr (kPanels > 1) tiles.template store<2>(second, kRow);
    if constexpr (kPanels > 1 && kVectors > 1) tiles.template store<3>(second + kLanes, kRow);
  }

  template <int kVectors>
  static void clear_weights(int64_t begin, int64_t end, Work& work) {
    __builtin_memset(work.weights + begin * kVectors * kLanes, 0,
                     sizeof(uint16_t) * (size_t)((end - begin) * kVectors * kLanes));
  }
};

}  // namespace
}  // namespace pangu::kernels
