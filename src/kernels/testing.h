// What the tests of the kernels share.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <vector>

#include "kernels/packed_product.h"

namespace pangu::kernels {

// Those of some levels that this machine runs.
inline std::vector<Level> levels_here(std::initializer_list<Level> levels) {
  std::vector<Level> here;
  for (const Level level : levels) {
    if (machine_has(level)) here.push_back(level);
  }
  return here;
}

// Memory for numbers, aligned as packed weights are.
template <class Number>
using AlignedNumbers = std::unique_ptr<Number, void (*)(void*)>;

template <class Number>
AlignedNumbers<Number> aligned_numbers(int64_t count) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(Number);
  return {static_cast<Number*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), std::free};
}

// The weights of a product and how it passes over its input.
struct ProductForm {
  ProductWeights weights;
  int64_t batch = 1, height = 1, width = 1, stride = 1, padding = 0;
  bool doubles = false;

  // Writes all but the weights into a problem.
  void write_to(ProductProblem& p) const {
    p.batch = batch, p.height = height, p.width = width;
    p.stride = stride, p.padding = padding, p.doubles = doubles;
  }
};

}  // namespace pangu::kernels
