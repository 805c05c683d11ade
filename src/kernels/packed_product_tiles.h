// Products with packed weights by tiles (kernels/tiles.h): pixels are the rows of the left factor,
// outputs the columns of the right one. Everything here has internal linkage: see
// attention_softmax.h.
#pragma once
#include "kernels/packed_product_avx512.h"
#include "kernels/tiles.h"

namespace pangu::kernels {
namespace {

template <class Tiles>
class ProductByTiles {
 public:
  explicit ProductByTiles(const ProductProblem& problem)
      : p_(in_one_row(problem)), layout_(p_.weights), tasks_(product_work(p_)) {}

  void run(int64_t task) {
    const int64_t group = task / tasks_.blocks * tasks_.panels;
    const int64_t more = layout_.panels - group;
    const int64_t panels = group + (more < tasks_.panels ? more : tasks_.panels);
    const int64_t first = task % tasks_.blocks * tasks_.pixels, left = p_.out_pixels() - first;
    const int64_t pixels = left < tasks_.pixels ? left : tasks_.pixels;
    place_pixels(first, pixels);
    for (int64_t panel = group; panel < panels; ++panel) run_panel(panel, first, pixels);
  }

 private:
  static constexpr int64_t kTilePair = 2 * kTileRows;  // pixels, and outputs, of a step
  // Tiles of inputs between two visits of the sums: those of a pair of pixel tiles, 32 KiB, stay in
  // the first cache while the outputs of a panel pass by.
  static constexpr int64_t kVisit = 16;
  static constexpr int64_t kMostPixels = kMostChunks * kPixelChunk;
  static_assert(kMostPixels % kTilePair == 0);

  // Where a pixel takes its inputs from: rows and columns of x of the first tap.
  struct Pixel {
    const uint16_t* picture;  // null: there is no such pixel
    int64_t top, left;
  };
  // A tile of the left factor: row after row so many bytes apart.
  struct Rows {
    const uint16_t* begin;
    int64_t bytes;
  };

  // Pixels that only meet their own inputs may as well lie in one row.
  static ProductProblem in_one_row(ProductProblem p) {
    if (p.weights.taps() == 1 && p.stride == 1 && p.padding == 0 && !p.doubles) {
      p.width *= p.batch * p.height;
      p.batch = p.height = 1;
    }
    return p;
  }

  void place_pixels(int64_t first, int64_t pixels) {
    const int64_t high = p_.out_height(), wide = p_.out_width();
    int64_t picture = first / (high * wide), row = first / wide % high, column = first % wide;
    for (int64_t i = 0; i < round(pixels); ++i) {
      pixels_[i] = {i < pixels ? p_.x + picture * p_.height * p_.width * p_.x_pixel : nullptr,
                    row * p_.stride - p_.padding, column * p_.stride - p_.padding};
      if (++column == wide) {
        column = 0;
        if (++row == high) row = 0, ++picture;
      }
    }
  }

  void run_panel(int64_t panel, int64_t first, int64_t pixels) {
    const int64_t width = layout_.width(panel), tiles = layout_.pairs / kTileRows;
    for (int64_t begin = 0; begin < tiles; begin += kVisit) {
      const int64_t count = tiles - begin < kVisit ? tiles - begin : kVisit;
      const uint16_t* weights =
          p_.packed + layout_.panel_begin(panel) + begin * kTileRows * width * 2;
      for (int64_t pixel = 0; pixel < pixels; pixel += kTilePair) {
        for (int64_t half = 0; half < 2; ++half) {
          for (int64_t i = 0; i < count; ++i) {
            left_[half][i] = left_tile(pixel + half * kTileRows, begin + i, rows_[half][i]);
          }
        }
        int64_t output = 0;
        float* sums = sums_ + pixel * kPanel;
        for (; output + kTilePair <= width; output += kTilePair) {
          multiply<2>(count, weights + 2 * output, width, begin > 0, sums + output);
        }
        if (output < width)
          multiply<1>(count, weights + 2 * output, width, begin > 0, sums + output);
      }
    }
    for (int64_t i = 0; i < pixels; ++i)
      finish<Avx512>(p_, panel, width, sums_ + i * kPanel, nullptr, first + i);
  }

  // Tile `at` of the inputs of sixteen pixels: where they lie if they are evenly spaced there, else
  // a copy, with zeros for what is not there.
  Rows left_tile(int64_t pixel, int64_t at, uint16_t* copy) const {
    const int64_t of_tap = layout_.tap_pairs / kTileRows;
    const int64_t tap = at / of_tap, input = at % of_tap * kTileNumbers;
    const int64_t down = tap / p_.weights.wide, right = tap % p_.weights.wide;
    const int64_t numbers = p_.weights.inputs - input;
    const uint16_t* rows[kTileRows];
    bool even = numbers >= kTileNumbers;
    for (int64_t i = 0; i < kTileRows; ++i) {
      rows[i] = inputs_of(pixels_[pixel + i], down, right);
      even = even && rows[i] && rows[i] - rows[0] == i * p_.stride * p_.x_pixel;
      if (rows[i]) rows[i] += input;
    }
    if (even) return {rows[0], p_.stride * p_.x_pixel * 2};
    const __mmask16 lanes = Avx512::first(numbers / 2);
    for (int64_t i = 0; i < kTileRows; ++i) {
      const __m512i row =
          rows[i] ? _mm512_maskz_loadu_epi32(lanes, rows[i]) : _mm512_setzero_si512();
      _mm512_store_si512(copy + i * kTileNumbers, row);
    }
    return {copy, 64};
  }

  // Null where zeros lie around the picture, or where there is no pixel.
  const uint16_t* inputs_of(const Pixel& pixel, int64_t down, int64_t right) const {
    const int64_t twice = p_.doubles ? 1 : 0, y = pixel.top + down, x = pixel.left + right;
    const bool there =
        pixel.picture && y >= 0 && y < p_.height << twice && x >= 0 && x < p_.width << twice;
    return there ? pixel.picture + ((y >> twice) * p_.width + (x >> twice)) * p_.x_pixel : nullptr;
  }

  // sums[32][16 x outputs] (+)= the left tiles times `count` tiles of weights.
  template <int kOutputs>
  void multiply(int64_t count, const uint16_t* weights, int64_t width, bool adds, float* sums) {
    float* second = sums + kTileRows * kPanel;
    constexpr int64_t kRow = kPanel * sizeof(float);
    if (adds) {
      tiles_.template load<0>(sums, kRow), tiles_.template load<2>(second, kRow);
      if constexpr (kOutputs > 1) tiles_.template load<1>(sums + kVector, kRow);
      if constexpr (kOutputs > 1) tiles_.template load<3>(second + kVector, kRow);
    } else {
      tiles_.template zero<0>(), tiles_.template zero<1>();
      tiles_.template zero<2>(), tiles_.template zero<3>();
    }
    for (int64_t i = 0; i < count; ++i) {
      const uint16_t* right = weights + i * kTileRows * width * 2;
      tiles_.template load<4>(left_[0][i].begin, left_[0][i].bytes);
      tiles_.template load<5>(left_[1][i].begin, left_[1][i].bytes);
      tiles_.template load<6>(right, width * 4);
      if constexpr (kOutputs > 1) tiles_.template load<7>(right + 2 * kVector, width * 4);
      tiles_.template dot<0, 4, 6>();
      tiles_.template dot<2, 5, 6>();
      if constexpr (kOutputs > 1) tiles_.template dot<1, 4, 7>();
      if constexpr (kOutputs > 1) tiles_.template dot<3, 5, 7>();
    }
    tiles_.template store<0>(sums, kRow), tiles_.template store<2>(second, kRow);
    if constexpr (kOutputs > 1) tiles_.template store<1>(sums + kVector, kRow);
    if constexpr (kOutputs > 1) tiles_.template store<3>(second + kVector, kRow);
  }

  static int64_t round(int64_t pixels) { return (pixels + kTilePair - 1) / kTilePair * kTilePair; }

  const ProductProblem p_;
  const ProductLayout layout_;
  const ProductTasks tasks_;
  Tiles tiles_;
  Pixel pixels_[kMostPixels];
  Rows left_[2][kVisit];
  alignas(64) uint16_t rows_[2][kVisit][kTileRows * kTileNumbers];
  alignas(64) float sums_[kMostPixels * kPanel];
};

}  // namespace
}  // namespace pangu::kernels
