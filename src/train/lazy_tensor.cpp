#include "train/lazy_tensor.h"

#include <torch/types.h>

namespace pangu::train {

std::map<std::string, at::Tensor> made(const LazyTensors& tensors) {
  std::map<std::string, at::Tensor> all;
  for (const auto& [name, tensor] : tensors) all[name] = tensor.make();
  return all;
}

LazyTensors already_made(const std::map<std::string, at::Tensor>& tensors) {
  LazyTensors all;
  for (const auto& [name, tensor] : tensors) {
    all[name] = {tensor.scalar_type(), tensor.sizes().vec(),
                 [tensor = tensor] { return tensor.cpu().contiguous(); }};
  }
  return all;
}

}  // namespace pangu::train
