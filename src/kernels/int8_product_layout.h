// How packed weights of bytes lie. One definition for all who read or write them.
#pragma once
#include "kernels/int8_product.h"
#include "kernels/packed_product_tasks.h"

namespace pangu::kernels {

inline constexpr int64_t kMostInt8Inputs = 4 * kStepBlock;  // a visit takes whole taps

// A panel: codes [taps][inputs / 4][width][4], four inputs of an output side by side; then, for
// every tap and column, 128 times the sum of its codes [taps][width] i32, negative, which a sum
// begins with as inputs are bytes 128 too great; then the factors of its columns [width] f32. What
// lies beyond the last output is 0. Distances are in units of four bytes.
struct Int8Layout {
  ProductLayout columns;
  int64_t taps, quads;  // quads: of a tap

  explicit Int8Layout(const ProductWeights& w) : columns(w), taps(w.taps()), quads(w.inputs / 4) {}

  int64_t rows() const { return taps * (quads + 1) + 1; }  // of `width` units
  int64_t panel_begin(int64_t panel) const { return panel * kPanel * rows(); }
  int64_t offsets_begin(int64_t width) const { return taps * quads * width; }
  int64_t factors_begin(int64_t width) const { return taps * (quads + 1) * width; }
};

namespace avx512_bf16 {
void int8_run(const Int8Problem& problem, int64_t begin, int64_t end);
void int8_rows(const Int8Rows& rows, int64_t begin, int64_t end);
}  // namespace avx512_bf16
namespace avx512_vnni {
void int8_run(const Int8Problem& problem, int64_t begin, int64_t end);
void int8_rows(const Int8Rows& rows, int64_t begin, int64_t end);
}  // namespace avx512_vnni

}  // namespace pangu::kernels
