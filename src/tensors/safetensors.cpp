#include "tensors/safetensors.h"

#include <torch/types.h>

#include <memory>

#include "tensors/bytes.h"

namespace pangu::tensors {

TensorMap copied(const io::TensorViews& views) {
  TensorMap tensors;
  for (const auto& [name, view] : views) tensors.emplace(name, copied(view, name));
  return tensors;
}

TensorMap load_safetensors(const std::string& path, bool copy) {
  const auto file = std::make_shared<const io::SafetensorsFile>(io::SafetensorsFile::open(path));
  if (copy) return copied(file->tensors());
  TensorMap tensors;
  for (const auto& [name, view] : file->tensors()) tensors.emplace(name, shared(view, file, name));
  return tensors;
}

void save_safetensors(const std::string& path, const TensorMap& tensors,
                      const io::Metadata& metadata) {
  io::TensorViews views;
  std::vector<at::Tensor> alive;
  alive.reserve(tensors.size());
  for (const auto& [name, given] : tensors) {
    views[name] = bytes_of(alive.emplace_back(given.detach().cpu().contiguous()), name);
  }
  io::write_safetensors(path, views, metadata);
}

}  // namespace pangu::tensors
