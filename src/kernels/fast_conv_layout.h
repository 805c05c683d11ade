// How the packed weights of a fast convolution lie, and how its work is cut. Functions are static
// or members of what only this room uses.
#pragma once
#include "kernels/fast_conv.h"
#include "kernels/packed_product_layout.h"

namespace pangu::kernels {

inline constexpr int64_t kParts = 4;
static_assert(kFastConvPanel == kPanel);

// A panel: [parts][taps][inputs / 2][width][2], a pair being two inputs of one output; `width` is
// 64, of the last panel a multiple of 16. What lies beyond the last output is 0.
struct FastConvLayout {
  int64_t tap_pairs;   // inputs / 2
  int64_t part_pairs;  // taps * inputs / 2
  int64_t columns;     // of all panels, a multiple of 16
  int64_t panels;

  explicit FastConvLayout(const FastConvWeights& w)
      : tap_pairs(w.inputs / 2),
        part_pairs(w.taps() * tap_pairs),
        columns(ProductLayout::up(w.outputs)),
        panels((columns + kPanel - 1) / kPanel) {}

  int64_t width(int64_t panel) const {
    const int64_t left = columns - panel * kPanel;
    return left < kPanel ? left : kPanel;
  }
  int64_t begin(int64_t panel, int64_t part, int64_t tap) const {
    return 2 * (panel * kPanel * kParts * part_pairs +
                width(panel) * (part * part_pairs + tap * tap_pairs));
  }
};

// A rectangle of places of one picture.
struct Block {
  int64_t picture, row, column, rows, columns;
  int64_t places() const { return rows * columns; }
};

inline constexpr int64_t kMostPlaces = 192;  // of a block
inline constexpr int64_t kBlockColumns = 24;
inline constexpr int64_t kFewPlaces = 24;  // whose sums stay in the nearest cache

// A task takes a block of places to a group of panels. A block is a rectangle, so that the rows of
// inputs around it are few. The blocks of a group follow each other, for they share its weights,
// which are more than their inputs.
struct FastConvTasks {
  int64_t rows, columns;             // of a block
  int64_t blocks_high, blocks_wide;  // of a picture
  int64_t panels;                    // of a group
  int64_t blocks, groups;
  int64_t chunk;  // places that pass by all the weights of a panel before the next ones do
  int64_t taps;   // of a visit, so that its weights stay in a core's cache while a chunk passes by

  explicit FastConvTasks(const FastConvProblem& c) {
    constexpr int64_t kFewTasks = 32;       // with fewer, threads would wait for the last
    constexpr int64_t kCachedPairs = 2048;  // of weights
    const FastConvLayout layout(c.weights);
    const int64_t high = c.product.height, wide = c.columns();
    const auto parts = [](int64_t all, int64_t each) { return (all + each - 1) / each; };
    const int64_t panel_pairs = kParts * layout.part_pairs;
    columns = wide < kBlockColumns ? wide : kBlockColumns;
    rows = kMostPlaces / columns;
    if (rows > high) rows = high;
    const auto count = [&] {
      blocks_high = parts(high, rows), blocks_wide = parts(wide, columns);
      blocks = c.product.batch * blocks_high * blocks_wide;
    };
    count();
    while (rows > 1 && layout.panels * blocks < kFewTasks) rows = parts(rows, 2), count();
    panels = kCachedPairs / panel_pairs;
    if (panels > layout.panels * blocks / kFewTasks) panels = layout.panels * blocks / kFewTasks;
    if (panels < 1) panels = 1;
    groups = parts(layout.panels, panels);
    chunk = panel_pairs <= kCachedPairs ? kFewPlaces : kMostPlaces;
    taps = layout.part_pairs <= kStepBlock ? c.weights.taps() : 1;
  }

  Block block(const FastConvProblem& c, int64_t number) const {
    const int64_t in_picture = number % (blocks_high * blocks_wide);
    Block b{number / (blocks_high * blocks_wide), in_picture / blocks_wide * rows,
            in_picture % blocks_wide * columns, rows, columns};
    if (b.rows > c.product.height - b.row) b.rows = c.product.height - b.row;
    if (b.columns > c.columns() - b.column) b.columns = c.columns() - b.column;
    return b;
  }
};

// The instructions of one level.
namespace avx2 {
void fast_conv_pack(const FastConvWeights& weights, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed);
void write_pairs(const PairsInput& input, int64_t begin, int64_t end);
void fast_conv_run(const FastConvProblem& problem, int64_t begin, int64_t end);
}  // namespace avx2
namespace avx512 {
void fast_conv_pack(const FastConvWeights& weights, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed);
void write_pairs(const PairsInput& input, int64_t begin, int64_t end);
void fast_conv_run(const FastConvProblem& problem, int64_t begin, int64_t end);
}  // namespace avx512
namespace avx512_bf16 {
void fast_conv_pack(const FastConvWeights& weights, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed);
void write_pairs(const PairsInput& input, int64_t begin, int64_t end);
void fast_conv_run(const FastConvProblem& problem, int64_t begin, int64_t end);
}  // namespace avx512_bf16

}  // namespace pangu::kernels
