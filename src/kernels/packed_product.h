// Matrix products and two-dimensional convolutions of bf16 numbers with weights that were packed
// once, when they were loaded. A linear layer is a convolution of one tap. Products are of bf16
// pairs, sums are f32; bias, activation and residual are added in f32, and the result is rounded
// to bf16 once or stays f32. It knows no tensor and starts no thread: the caller splits the work.
#pragma once
#include <cstdint>

#include "kernels/level.h"

namespace pangu::kernels {

enum class ProductActivation {
  kNone,
  kSilu,   // x sigmoid(x)
  kGelu,   // x Phi(x), exact
  kGeglu,  // a gelu(g) of x = (a, g): the first and the second half of the outputs
};

// What the weights of a product are: [outputs][high][wide][inputs] numbers.
struct ProductWeights {
  int64_t outputs = 0, high = 1, wide = 1, inputs = 0;
  // With kGeglu the two halves are packed side by side, so that it must be known at packing.
  ProductActivation activation = ProductActivation::kNone;
  Level level = Level::kAvx512Bf16;  // whose kernel reads them packed

  int64_t taps() const { return high * wide; }
  // Outputs of the product after its activation.
  int64_t results() const {
    return activation == ProductActivation::kGeglu ? outputs / 2 : outputs;
  }
};

// Whether their level has a kernel for such weights, which every other function here takes to be
// so: the number of inputs is even, and so is that of the outputs with kGeglu.
bool product_fits(const ProductWeights& weights);

// The number of bf16 numbers of packed weights; they are aligned to 64 bytes.
int64_t product_packed_size(const ProductWeights& weights);

// Packs weights, whose numbers lie in the order of ProductWeights, and gives them back. Tasks stand
// alone and are of nearly equal cost.
int64_t product_pack_tasks(const ProductWeights& weights);
void product_pack(const ProductWeights& weights, const uint16_t* numbers, uint16_t* packed,
                  int64_t begin, int64_t end);
void product_unpack(const ProductWeights& weights, const uint16_t* packed, uint16_t* numbers);

// One product. Its residual and results are bf16 or f32, both of the same kind. The channels of a
// pixel lie side by side, and pixel after pixel in a row, row after row in a picture, picture after
// picture. Distances are in numbers.
struct ProductProblem {
  ProductWeights weights;
  const uint16_t* packed = nullptr;
  const float* bias = nullptr;  // [outputs], null: none
  const uint16_t* x = nullptr;
  int64_t x_pixel = 0;  // from one pixel to the next
  int64_t batch = 1, height = 1, width = 1;
  int64_t stride = 1, padding = 0;     // zeros on each side
  bool doubles = false;                // x is enlarged twofold first, every pixel becoming four
  const uint16_t* residual = nullptr;  // added to the results, null: none
  const float* wide_residual = nullptr;
  int64_t residual_pixel = 0;
  uint16_t* out = nullptr;
  float* wide_out = nullptr;  // instead of `out`
  int64_t out_pixel = 0;

  int64_t out_height() const {
    return (height * (doubles ? 2 : 1) + 2 * padding - weights.high) / stride + 1;
  }
  int64_t out_width() const {
    return (width * (doubles ? 2 : 1) + 2 * padding - weights.wide) / stride + 1;
  }
  int64_t out_pixels() const { return batch * out_height() * out_width(); }
};

// Computes tasks [begin, end) of product_tasks. A task stands alone: the result does not depend on
// who does which, nor on how many do.
int64_t product_tasks(const ProductProblem& problem);
void product_run(const ProductProblem& problem, int64_t begin, int64_t end);

// The definition, by weights in the order of ProductWeights, with sums in f64.
void plain_product(const ProductProblem& problem, const uint16_t* numbers);

}  // namespace pangu::kernels
