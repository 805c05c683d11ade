// Where a product of kernels/ leaves its results, and what it adds to them.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "kernels/packed_product.h"
#include "nn/epilogue.h"

namespace pangu::nn {

// The activation of the kernels that computes this one, if there is one; the others follow a
// product.
std::optional<kernels::ProductActivation> fused(Activation activation);

// The kernels' form of a weight [O,I] or [O,I,kh,kw].
kernels::ProductWeights product_weights(at::IntArrayRef sizes,
                                        Activation activation = Activation::kNone);

class ProductResults {
 public:
  // Allocates results of these sizes in f32 or bf16, and names them, the epilogue's activation and
  // its residual in `problem`, which has its weights.
  ProductResults(kernels::ProductProblem& problem, at::IntArrayRef sizes, at::MemoryFormat format,
                 at::ScalarType type, const Epilogue& epilogue);

  // The results, to be taken when the product is computed.
  at::Tensor finished() const;

 private:
  Epilogue epilogue_;
  bool fused_;
  at::Tensor out_, residual_;
};

}  // namespace pangu::nn
