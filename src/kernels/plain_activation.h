// What the definitions of products do with complete sums, in f64.
#pragma once
#include <cmath>

#include "kernels/bf16.h"
#include "kernels/packed_product.h"

namespace pangu::kernels {

// GEGLU, which takes two sums, is left to the caller.
inline double plain_activation(ProductActivation activation, double x) {
  switch (activation) {
    case ProductActivation::kSilu:
      return x / (1 + std::exp(-x));
    case ProductActivation::kGelu:
      return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
    default:
      return x;
  }
}

// Adds the residual to result i of a pixel, and writes it.
inline void store_plain_result(const ProductProblem& p, int64_t pixel, int64_t i, double y) {
  const int64_t from = pixel * p.residual_pixel + i, to = pixel * p.out_pixel + i;
  if (p.residual) y += double{from_bf16(p.residual[from])};
  if (p.wide_residual) y += double{p.wide_residual[from]};
  if (p.wide_out) p.wide_out[to] = float(y);
  if (p.out) p.out[to] = to_bf16(float(y));
}

}  // namespace pangu::kernels
