// NumPy's archives of arrays (.npz) with arrays of numbers (.npy inside): read as np.savez and
// np.savez_compressed write them, written as np.savez does. Format: numpy.lib.format, versions 1
// to 3.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"

namespace pangu::io {

// Row-major, little-endian.
struct NumpyArray {
  DType dtype = DType::F64;
  std::vector<int64_t> shape;
  std::vector<std::byte> data;
};
using NumpyArrays = std::map<std::string, NumpyArray>;  // by names without ".npy"

// Error kBadInput, which calls the bytes `name`, for anything else, arrays of objects included.
NumpyArrays parse_npz(std::span<const std::byte> bytes, const std::string& name);
NumpyArrays read_npz(const std::string& path);

// Atomically. Error kIo, kInternal for a type that NumPy lacks (bf16, fp8).
void write_npz(const std::string& path, const TensorViews& arrays);

}  // namespace pangu::io
