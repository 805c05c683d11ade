// Products of fast convolutions in f32 (f32_tile.h). Everything is in an anonymous namespace: see
// vector_avx2.h.
#pragma once
#include "kernels/f32_tile.h"
#include "kernels/fast_conv_loops.h"

namespace pangu::kernels {
namespace {

template <class V>
struct F32Products {
  using Segment = F32Segment;
  static void multiply_panel(int64_t width, const Segment* segments, int64_t count,
                             const uint16_t* b, bool adds, float* sums) {
    multiply_panel_f32<V>(width, segments, count, b, adds, sums);
  }
};

}  // namespace
}  // namespace pangu::kernels
