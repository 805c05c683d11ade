// Reads and writes safetensors files as tensors by name. Names, shapes and types are kept as they
// are; what they mean is the caller's business.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace pangu::tensors {

using TensorMap = std::map<std::string, at::Tensor>;
using TensorShapes = std::map<std::string, std::vector<int64_t>>;  // what a file's header says

// Returns copies of all tensors. Throws kBadInput, which names the tensor, for a type that libtorch
// lacks.
TensorMap copied(const io::TensorViews& views);

// Loads every tensor of a file (f32, f16, bf16, f8, signed integers, u8, bool). With `copy` false
// the tensors are views of the mapped file, which they keep alive, and must not be written. Throws
// as io::SafetensorsFile::open and copied() do.
TensorMap load_safetensors(const std::string& path, bool copy = true);

// Writes atomically (a temporary beside `path`, then rename). Tensors are made contiguous on the
// CPU first. Throws kIo if the disk is full; a file that was there before then stays.
void save_safetensors(const std::string& path, const TensorMap& tensors,
                      const io::Metadata& metadata = {});

}  // namespace pangu::tensors
