// Where the AVX-512 kernels of products of pairs and of bytes find the inputs of a tile of pixels.
// Everything is in an anonymous namespace, for a file that includes this is compiled for such
// processors alone, and no copy may serve the rest of the program.
#pragma once
#include <immintrin.h>

#include "kernels/avx512_math.h"
#include "kernels/packed_product_loops.h"

namespace pangu::kernels {
namespace {

constexpr int64_t kVector = 16;

// Where the pixels of a tile take their inputs from, a lane a pixel. A pixel that is not there lies
// below every picture.
struct Tile {
  __m512i pictures;     // the first pixels of their pictures
  __m512i tops, lefts;  // of the first tap, in rows and columns of x
};

// Walks over the pixels of the result.
class Walk {
 public:
  Walk(const ProductProblem& p, int64_t pixel)
      : p_(p), high_(p.out_height()), wide_(p.out_width()) {
    picture_ = pixel / (high_ * wide_);
    row_ = pixel / wide_ % high_;
    column_ = pixel % wide_;
  }

  // Takes the next `count` pixels.
  Tile take(int64_t count) {
    alignas(64) int64_t pictures[8] = {}, tops[8], lefts[8] = {};
    for (int64_t i = 0; i < 8; ++i) tops[i] = kNowhere;
    for (int64_t i = 0; i < count; ++i) {
      pictures[i] = picture_ * p_.height * p_.width;
      tops[i] = row_ * p_.stride - p_.padding;
      lefts[i] = column_ * p_.stride - p_.padding;
      if (++column_ == wide_) {
        column_ = 0;
        if (++row_ == high_) row_ = 0, ++picture_;
      }
    }
    return {_mm512_load_si512(pictures), _mm512_load_si512(tops), _mm512_load_si512(lefts)};
  }

 private:
  static constexpr int64_t kNowhere = int64_t{1} << 40;
  const ProductProblem& p_;
  int64_t high_, wide_, picture_, row_, column_;
};

// The pixels of x that a tap of a tile reads, of which only those of `there` exist.
struct TapPixels {
  __m512i index;
  __mmask8 there;
};

// Always inlined, like whoever takes it from there: it is called for every tap of every tile.
[[gnu::always_inline]] inline TapPixels pixels_of_tap(const ProductProblem& p, const Tile& tile,
                                                      int64_t tap) {
  const unsigned twice = p.doubles ? 1 : 0;
  const __m512i y = _mm512_add_epi64(tile.tops, _mm512_set1_epi64(tap / p.weights.wide));
  const __m512i x = _mm512_add_epi64(tile.lefts, _mm512_set1_epi64(tap % p.weights.wide));
  // As unsigned numbers, negative ones are too large too.
  const __mmask8 there = _mm512_cmplt_epu64_mask(y, _mm512_set1_epi64(p.height << twice)) &
                         _mm512_cmplt_epu64_mask(x, _mm512_set1_epi64(p.width << twice));
  const __m512i row = _mm512_mullo_epi64(_mm512_srai_epi64(y, twice), _mm512_set1_epi64(p.width));
  const __m512i in_picture = _mm512_add_epi64(row, _mm512_srai_epi64(x, twice));
  return {_mm512_add_epi64(tile.pictures, in_picture), there};
}

}  // namespace
}  // namespace pangu::kernels
