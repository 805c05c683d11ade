// Convolutions of 3x3 taps, stride 1 and padding 1, with fewer products than their definition has,
// in bf16 with sums in f32. What is summed before a product is summed in f32 and rounded to bf16
// once, so that as many roundings stand before every product as in kernels/packed_product.h. It
// knows no tensor and starts no thread: the caller splits the work.
#pragma once
#include "kernels/packed_product.h"

namespace pangu::kernels {

enum class FastConvForm {
  // F(2,3) of Winograd (Lavin and Gray, arXiv 1509.09308) along a row: two neighbouring results
  // take 4 products for each row of taps, not 6. The input is what write_pairs() makes of a
  // picture. Of independent numbers a result's rounding error is sqrt(5/3) times that of the
  // definition.
  kPairs,
  // Of a picture that is enlarged twofold first: the four results of a pixel are convolutions of
  // 2x2 taps, whose weights are sums of those that meet copies of one pixel. They take 16 products,
  // not 36.
  kEnlarged,
};

struct FastConvWeights {
  int64_t outputs = 0, inputs = 0;
  FastConvForm form = FastConvForm::kPairs;

  // The results of a place are made of four sums, each of so many taps.
  int64_t taps() const { return form == FastConvForm::kPairs ? 3 : 4; }
};

// Whether there is a kernel of this level for such weights.
bool fast_conv_fits(const FastConvWeights& weights, Level level);

// The number of bf16 numbers of packed weights; they are aligned to 64 bytes.
int64_t fast_conv_packed_size(const FastConvWeights& weights);

// Packs the weights of one panel of outputs, panel * kFastConvPanel and those behind it.
// Panels stand alone.
inline constexpr int64_t kFastConvPanel = 64;
int64_t fast_conv_panels(const FastConvWeights& weights);
struct FastConvNumbers {              // [outputs][3][3][inputs]
  const uint16_t* numbers = nullptr;  // bf16, or
  const float* wide_numbers = nullptr;
};
void fast_conv_pack(const FastConvWeights& weights, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed, Level level);

// Gives weights [outputs][3][3][inputs] back, as exactly as packed ones tell: the middle column of
// taps is the difference of two rounded numbers. REQUIRES: kPairs.
void fast_conv_unpack(const FastConvWeights& weights, const uint16_t* packed, float* numbers);

// A part of a picture's rows, as it is before its convolution: silu(x scale + offset) of channels
// side by side, pixel after pixel, row after row, picture after picture.
struct PairsInput {
  const uint16_t* x = nullptr;  // bf16, or
  const float* wide_x = nullptr;
  const float* scale = nullptr;  // [batch][inputs], null: 1, and no offset
  const float* offset = nullptr;
  bool silu = false;
  int64_t batch = 1, height = 1, width = 1, inputs = 0;
  int64_t first_row = 0, rows = 1;  // those whose convolution is wanted
  uint16_t* pairs = nullptr;        // [batch][rows + 2][(width + 1) / 2][4][inputs]

  int64_t columns() const { return (width + 1) / 2; }
  int64_t size() const { return batch * (rows + 2) * columns() * 4 * inputs; }
};

// Fills `pairs`: (d0 - d2, d1 + d2, d2 - d1, d1 - d3) of the four pixels d that a pair of results
// depends on, in the rows around those wanted, with zeros around the picture. Computes rows
// [begin, end) of batch * (rows + 2).
void write_pairs(const PairsInput& input, int64_t begin, int64_t end, Level level);

// One convolution. Of `product` the kernel reads bias, batch, height and width, residual, out and
// the activation of the weights. x is [batch][height + 2][(width + 1) / 2][4][inputs] of kPairs,
// where height and width are the results', and [batch][height][width] with x_pixel of kEnlarged,
// whose results have twice the sides.
struct FastConvProblem {
  FastConvWeights weights;
  ProductProblem product;

  int64_t columns() const {
    return weights.form == FastConvForm::kPairs ? (product.width + 1) / 2 : product.width;
  }
  // Where sums are taken: pairs of results, or pixels to be enlarged.
  int64_t places() const { return product.batch * product.height * columns(); }
};

// Computes tasks [begin, end) of fast_conv_tasks. A task stands alone: the result does not depend
// on who does which, nor on how many do.
int64_t fast_conv_tasks(const FastConvProblem& problem);
void fast_conv_run(const FastConvProblem& problem, int64_t begin, int64_t end, Level level);

}  // namespace pangu::kernels
