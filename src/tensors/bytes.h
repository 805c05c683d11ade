// Bytes of files <-> tensors: the one table of element types, and views and copies by it. It knows
// no file format beyond a typed, shaped piece of bytes (io/safetensors.h).
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "io/safetensors.h"

namespace pangu::tensors {

// Error kBadInput, which names the tensor `name`, for a type that libtorch does not compute with
// (U16, U32, U64).
at::ScalarType scalar_type_of(io::DType dtype, const std::string& name);

// Error kInternal, which names the tensor `name`, for a type that files cannot hold (complex, ...).
io::DType dtype_of(at::ScalarType type, const std::string& name);

// A tensor with a copy of the bytes; f32 of what they mean if the view has scales. Errors as
// scalar_type_of.
at::Tensor copied(const io::TensorView& view, const std::string& name);

// A tensor that shares the bytes, which `owner` keeps alive, and that must not be written; a copy
// where the bytes are not aligned for their type, as the format allows, or have scales. Errors as
// scalar_type_of.
at::Tensor shared(const io::TensorView& view, std::shared_ptr<const void> owner,
                  const std::string& name);

// The bytes of a contiguous tensor on the CPU, which must outlive the view. Errors as dtype_of.
io::TensorView bytes_of(const at::Tensor& tensor, const std::string& name);

}  // namespace pangu::tensors
