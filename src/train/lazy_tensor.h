// Tensors by name that are made one at a time, when they are written or read, for states that are
// too large to be in memory twice.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pangu::train {

struct LazyTensor {
  at::ScalarType type = at::kFloat;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> make;  // of this type and shape, contiguous, on the host
};

using LazyTensors = std::map<std::string, LazyTensor>;

// All of them in memory, and tensors on the host that are there already.
std::map<std::string, at::Tensor> made(const LazyTensors& tensors);
LazyTensors already_made(const std::map<std::string, at::Tensor>& tensors);

}  // namespace pangu::train
