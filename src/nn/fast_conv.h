// A 3x3 convolution whose weights were packed for fewer products (kernels/fast_conv.h), computed
// band by band of rows: what stands before the products, norm and activation, is computed for one
// band, which stays in the cache, and never for the whole picture.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

#include "kernels/packed_product.h"
#include "nn/epilogue.h"

namespace pangu::nn {

class FastConv {
 public:
  // Packs a weight [O,I,3,3] of f32 or bf16 numbers, for pictures that are enlarged twofold first
  // or for others. Returns null if the weight has another shape, if it has few inputs or outputs,
  // or if this processor has no kernel.
  static std::shared_ptr<const FastConv> pack(const at::Tensor& weight, bool enlarges);

  // Whether pack() packs a weight of these sizes.
  static bool fits(at::IntArrayRef sizes, bool enlarges) {
    return without_numbers(sizes, enlarges) != nullptr;
  }
  // What numbers() gave of a convolution that was packed of a weight of these sizes. Null as pack()
  // does, and if the numbers are others.
  static std::shared_ptr<const FastConv> of_numbers(const at::Tensor& numbers,
                                                    at::IntArrayRef sizes, bool enlarges);
  const at::Tensor& numbers() const { return numbers_; }  // bf16, as the kernel reads them

  // Returns what conv2d() does with padding 1 for x [B,I,H,W], in `type` (f32 or bf16),
  // channels-last. prologue.doubles is as `enlarges` was. bias: f32 [O] or undefined.
  at::Tensor run(const at::Tensor& x, const at::Tensor& bias, at::ScalarType type,
                 const Prologue& prologue, const Epilogue& epilogue) const;

  // The weight [O,I,3,3] in f32, as exactly as the packed numbers tell. REQUIRES: not `enlarges`.
  at::Tensor unpacked() const;

 private:
  FastConv() = default;
  static std::shared_ptr<FastConv> without_numbers(at::IntArrayRef sizes, bool enlarges);
  kernels::ProductProblem problem(const at::Tensor& bias) const;
  at::Tensor run_pairs(const at::Tensor& x, const at::Tensor& bias, at::ScalarType type,
                       const Prologue& prologue, const Epilogue& epilogue) const;

  at::Tensor numbers_;  // packed
  int64_t outputs_ = 0, inputs_ = 0;
  bool enlarges_ = false;
};

}  // namespace pangu::nn
