// Matrix products and two-dimensional convolutions of bytes, as packed_product.h has them of bf16:
// every output has a factor of its own for its weights, every pixel one for its inputs. An input is
// (byte - 128) times its pixel's factor, a weight a signed byte times its output's factor. Sums
// over the inputs of a tap are exact; they are multiplied by the pixel's factor and added up over
// the taps in f32. What follows the sums is that of ProductProblem.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/level.h"
#include "kernels/packed_product.h"

namespace pangu::kernels {

// Whether there is a kernel for such weights on this machine held to this level, which multiplies
// bytes (level.h): four divides the number of inputs, and two that of the outputs with kGeglu.
bool int8_fits(const ProductWeights& weights, Level level);

// Rounds weights in bf16 of outputs [begin, end), in the order of ProductWeights, to codes in the
// same order: an output's factor [outputs] is 1/127 of the greatest size among its weights, or 0.
// Not-a-number among an output's weights makes its factor one.
void int8_round(const ProductWeights& weights, const uint16_t* numbers, int8_t* codes,
                float* factors, int64_t begin, int64_t end);

// The bytes of packed weights; they are aligned to 64 bytes.
int64_t int8_packed_size(const ProductWeights& weights);

// Packs codes and factors, and gives them back. Tasks stand alone: there are product_pack_tasks.
void int8_pack(const ProductWeights& weights, const int8_t* codes, const float* factors,
               std::byte* packed, int64_t begin, int64_t end);
void int8_unpack(const ProductWeights& weights, const std::byte* packed, int8_t* codes,
                 float* factors);

struct Int8Problem {
  // `packed` and `x` are not used; x_pixel is in bytes.
  ProductProblem product;
  const std::byte* packed = nullptr;
  const uint8_t* x = nullptr;
  const float* x_factors = nullptr;  // one a pixel of x
};

int64_t int8_tasks(const Int8Problem& problem);

// Computes tasks [begin, end) of int8_tasks, as product_run does.
// REQUIRES: int8_fits(problem.product.weights, level)
void int8_run(const Int8Problem& problem, int64_t begin, int64_t end, Level level);

// The definition, by codes in the order of ProductWeights, with sums in f64.
void plain_int8_product(const Int8Problem& problem, const int8_t* codes, const float* factors);

// Rows of bf16 numbers that become inputs of such a product, after a norm and an activation.
struct Int8Rows {
  const uint16_t* x = nullptr;  // [rows][inputs]
  int64_t rows = 0, inputs = 0;
  // An affine form of each picture's channels, as a group norm has it: x scale + shift, both
  // [rows / rows_a_picture][inputs]; null: none.
  const float* scale = nullptr;
  const float* shift = nullptr;
  int64_t rows_a_picture = 1;
  // The norm of a row by its own mean and deviation, times norm_weight plus norm_bias, both
  // [inputs]; null: none. It excludes the affine form.
  const float* norm_weight = nullptr;
  const float* norm_bias = nullptr;
  float eps = 0;
  bool silu = false;         // afterwards
  uint8_t* codes = nullptr;  // [rows][inputs]
  float* factors = nullptr;  // [rows], 1/127 of the greatest size in the row, or 0
};

// Whether int8_rows takes rows of so many inputs.
bool int8_rows_fit(int64_t inputs);

// Rounds rows [begin, end) to codes. A row that holds not-a-number or an infinity gets a factor
// that is not finite. By the definition where the level has no kernel.
void int8_rows(const Int8Rows& rows, int64_t begin, int64_t end, Level level);
void plain_int8_rows(const Int8Rows& rows, int64_t begin, int64_t end);

}  // namespace pangu::kernels
