// How packed weights lie, and how the work of a product is cut. One definition for all who read or
// write them.
#pragma once
#include "kernels/packed_product.h"

namespace pangu::kernels {

inline constexpr int64_t kPanel = 64;     // outputs that are packed side by side, four vectors
inline constexpr int64_t kPixelTile = 6;  // pixels whose sums one tile holds in registers
// Steps between two visits of a tile's sums, a step being four bytes of every output (a pair of
// bf16 inputs, or four of int8): so much of a panel, 384 KiB, stays in a core's cache while the
// pixels pass by.
inline constexpr int64_t kStepBlock = 1536;

// A panel: [taps][inputs / 2][width][2], a pair being two inputs of one output; `width` is 64, of
// the last panel a multiple of 16. For tiles each tap's pairs are filled up to a multiple of 16.
// What lies beyond the last output or input is 0.
struct ProductLayout {
  int64_t tap_pairs;
  int64_t pairs;  // of a panel: taps * tap_pairs
  int64_t panels;
  int64_t columns;  // of all panels, a multiple of 16

  explicit ProductLayout(const ProductWeights& w)
      : tap_pairs(w.level > Level::kAvx512Bf16 ? up(w.inputs / 2) : w.inputs / 2),
        pairs(w.taps() * tap_pairs),
        panels((padded(w) + kPanel - 1) / kPanel),
        columns(padded(w)) {}

  int64_t width(int64_t panel) const {
    const int64_t left = columns - panel * kPanel;
    return left < kPanel ? left : kPanel;
  }
  int64_t panel_begin(int64_t panel) const { return panel * kPanel * pairs * 2; }

  // With kGeglu a panel holds as many numbers a as gates g, a first: outputs come in whole vectors
  // of each.
  static int64_t padded(const ProductWeights& w) {
    return w.activation == ProductActivation::kGeglu ? 2 * up(w.outputs / 2) : up(w.outputs);
  }
  static int64_t up(int64_t count) { return (count + 15) / 16 * 16; }

  // The output in a column of a panel, or -1 if there is none.
  static int64_t output(const ProductWeights& w, int64_t panel, int64_t width, int64_t column) {
    if (w.activation != ProductActivation::kGeglu) {
      const int64_t output = panel * kPanel + column;
      return output < w.outputs ? output : -1;
    }
    const int64_t half = width / 2;
    const int64_t result = panel * kPanel / 2 + column % half;
    return result >= w.outputs / 2 ? -1 : column < half ? result : result + w.outputs / 2;
  }
};

}  // namespace pangu::kernels
