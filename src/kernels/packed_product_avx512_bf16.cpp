// Products with packed weights by AVX-512 and dot products of bf16 pairs. This file is compiled for
// such processors whatever the rest is compiled for (CMakeLists.txt), so it includes nothing that
// defines inline functions which others use too: the linker could keep the copy made here.
#include "kernels/bf16_tile_avx512.h"
#include "kernels/packed_product_avx512.h"

namespace pangu::kernels::avx512_bf16 {
namespace {

// Inputs of a picture's surroundings: a visit takes no more of them.
struct Zeros {
  alignas(64) uint16_t numbers[2 * kStepBlock];
};

// The segments of pairs [begin, end) of a panel for one tile. Returns how many there are.
int64_t segments_of(const ProductProblem& p, const Tile& tile, const uint16_t* zeros, int64_t begin,
                    int64_t end, Segment* segments) {
  const int64_t each = p.weights.inputs / 2;
  const __m512i x = _mm512_set1_epi64((int64_t)p.x), pixel = _mm512_set1_epi64(2 * p.x_pixel);
  int64_t count = 0;
  for (int64_t tap = begin / each; tap * each < end; ++tap) {
    const int64_t first = tap * each > begin ? tap * each : begin;
    const int64_t last = (tap + 1) * each < end ? (tap + 1) * each : end;
    const TapPixels pixels = pixels_of_tap(p, tile, tap);
    const __m512i from =
        _mm512_add_epi64(_mm512_add_epi64(x, _mm512_mullo_epi64(pixels.index, pixel)),
                         _mm512_set1_epi64(4 * (first - tap * each)));
    Segment& segment = segments[count++];
    segment.pairs = last - first;
    _mm512_storeu_si512(
        segment.rows, _mm512_mask_mov_epi64(_mm512_set1_epi64((int64_t)zeros), pixels.there, from));
  }
  return count;
}

struct Bf16Kernel {
  using Vector = Avx512;
  using PixelWalk = Walk;
  const ProductProblem& p;
  const uint16_t* zeros;

  void add_products(const Tile& tile, const Visit& visit, int64_t width, bool adds,
                    float* sums) const {
    const ProductLayout layout(p.weights);
    const uint16_t* weights = p.packed + layout.panel_begin(visit.panel) + visit.begin * width * 2;
    Segment segments[kMostTaps + 1];
    const int64_t count = segments_of(p, tile, zeros, visit.begin, visit.end, segments);
    multiply_panel(width, segments, count, weights, adds, sums);
  }
  void ask_ahead(int64_t pixel, int64_t count) const { ask_for_inputs(p, p.x, pixel, count); }
  const float* scales(int64_t) const { return nullptr; }
};

}  // namespace

void product_run(const ProductProblem& p, int64_t begin, int64_t end) {
  const ProductTasks tasks = product_work(p);
  Zeros zeros;
  __builtin_memset(zeros.numbers, 0, sizeof zeros.numbers);
  TaskSums sums;
  const Bf16Kernel kernel{p, zeros.numbers};
  for (int64_t task = begin; task < end; ++task) run_task(kernel, p, tasks, task, sums.numbers);
}

}  // namespace pangu::kernels::avx512_bf16
