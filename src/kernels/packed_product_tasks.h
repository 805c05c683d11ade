// How the work of a product is cut into tasks: a group of neighbouring panels and a block of pixels
// each. The groups of one block of pixels would share their inputs, and the blocks of one group
// share its weights, which are more: so these follow each other.
#pragma once
#include "kernels/packed_product_layout.h"

namespace pangu::kernels {

// Pixels that pass by a panel before the next one is taken: their inputs and results stay close.
inline constexpr int64_t kPixelChunk = 8 * kPixelTile;
inline constexpr int64_t kMostChunks = 10;  // of a task
inline constexpr int64_t kMostTaps = 49;
inline constexpr int64_t kMostPaddedInputs = 8192;

struct ProductTasks {
  bool one_visit;          // a tile's sums are complete when its pixels have passed once
  int64_t panels, pixels;  // of a task
  int64_t groups, blocks;

  explicit ProductTasks(const ProductProblem& p) {
    constexpr int64_t kFewTasks = 32;  // with fewer, threads would wait for the last
    const ProductLayout layout(p.weights);
    const auto parts = [](int64_t all, int64_t each) { return (all + each - 1) / each; };
    const int64_t all = p.out_pixels();
    one_visit = layout.pairs <= kPairBlock;
    pixels = (one_visit ? 4 : kMostChunks) * kPixelChunk;
    if (layout.panels * parts(all, pixels) < kFewTasks) {
      pixels = kPixelChunk * parts(parts(all, parts(kFewTasks, layout.panels)), kPixelChunk);
    }
    blocks = parts(all, pixels);
    const int64_t cached = kPairBlock / layout.pairs;
    const int64_t shared = layout.panels * blocks / kFewTasks;
    panels = cached < shared ? cached : shared;
    if (panels < 1) panels = 1;
    groups = parts(layout.panels, panels);
  }
};

// The instructions of one level, for tasks [begin, end) of product_run.
namespace avx512_bf16 {
void product_run(const ProductProblem& problem, int64_t begin, int64_t end);
}  // namespace avx512_bf16

}  // namespace pangu::kernels
