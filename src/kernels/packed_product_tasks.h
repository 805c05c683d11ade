// How the work of a product is cut into tasks: a group of neighbouring panels and a block of pixels
// each. The groups of one block of pixels would share their inputs, and the blocks of one group
// share its weights, which are more: so these follow each other. Functions are static, for kernels
// of other instructions include this too.
#pragma once
#include "kernels/packed_product_layout.h"

namespace pangu::kernels {

// Pixels that pass by a panel before the next one is taken: their inputs and results stay close.
inline constexpr int64_t kPixelChunk = 8 * kPixelTile;
inline constexpr int64_t kMostChunks = 10;  // of a task
inline constexpr int64_t kMostTaps = 49;

struct ProductTasks {
  int64_t steps;           // of a panel, each four bytes of every output
  int64_t visit;           // steps of a visit, at most kStepBlock
  bool one_visit;          // a tile's sums are complete when its pixels have passed once
  int64_t panels, pixels;  // of a task
  int64_t groups, blocks;

  // REQUIRES: visit <= kStepBlock
  ProductTasks(const ProductProblem& p, int64_t all_steps, int64_t steps_a_visit)
      : steps(all_steps), visit(steps_a_visit), one_visit(all_steps <= steps_a_visit) {
    constexpr int64_t kFewTasks = 32;  // with fewer, threads would wait for the last
    const ProductLayout layout(p.weights);
    const auto parts = [](int64_t all, int64_t each) { return (all + each - 1) / each; };
    const int64_t all = p.out_pixels();
    pixels = (one_visit ? 4 : kMostChunks) * kPixelChunk;
    if (layout.panels * parts(all, pixels) < kFewTasks) {
      pixels = kPixelChunk * parts(parts(all, parts(kFewTasks, layout.panels)), kPixelChunk);
    }
    blocks = parts(all, pixels);
    const int64_t cached = kStepBlock / steps;
    const int64_t shared = layout.panels * blocks / kFewTasks;
    panels = cached < shared ? cached : shared;
    if (panels < 1) panels = 1;
    groups = parts(layout.panels, panels);
  }
};

// The work of a product in bf16: a step is a pair of inputs.
static inline ProductTasks product_work(const ProductProblem& p) {
  return {p, ProductLayout(p.weights).pairs, kStepBlock};
}

// The work of a product in int8: a step is four inputs. A visit takes whole taps, for the sums of
// bytes are scaled tap by tap.
static inline ProductTasks int8_work(const ProductProblem& p) {
  const int64_t each = p.weights.inputs / 4, taps = p.weights.taps();
  const int64_t most = kStepBlock / each;  // taps
  const int64_t visits = (taps + most - 1) / most;
  return {p, taps * each, (taps + visits - 1) / visits * each};
}

// The instructions of one level, for tasks [begin, end) of product_run.
namespace avx2 {
void product_run(const ProductProblem& problem, int64_t begin, int64_t end);
}  // namespace avx2
namespace avx512 {
void product_run(const ProductProblem& problem, int64_t begin, int64_t end);
}  // namespace avx512
namespace avx512_bf16 {
void product_run(const ProductProblem& problem, int64_t begin, int64_t end);
}  // namespace avx512_bf16
namespace amx {
void product_run(const ProductProblem& problem, int64_t begin, int64_t end);
void product_run_emulated(const ProductProblem& problem, int64_t begin, int64_t end);
}  // namespace amx

}  // namespace pangu::kernels
