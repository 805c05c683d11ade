// Conversions between bytes of files and tensors: the one table of element types, and views and
// copies that follow it. It knows no file format beyond a typed, shaped piece of bytes
// (io/safetensors.h).
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "io/safetensors.h"

namespace pangu::tensors {

// Throws kBadInput, which names the tensor `name`, for a type that libtorch does not compute with
// (U16, U32, U64).
at::ScalarType scalar_type_of(io::DType dtype, const std::string& name);

// Throws kInternal, which names the tensor `name`, for a type that files cannot hold (complex,
// ...).
io::DType dtype_of(at::ScalarType type, const std::string& name);

// Returns a tensor with a copy of the bytes, or f32 of what they mean if the view has scales.
// Throws as scalar_type_of does.
at::Tensor copied(const io::TensorView& view, const std::string& name);

// Returns a tensor that shares the bytes, which `owner` keeps alive; it must not be written. Where
// the bytes are not aligned for their type, as the format allows, or have scales, it is a copy.
// Throws as scalar_type_of does.
at::Tensor shared(const io::TensorView& view, std::shared_ptr<const void> owner,
                  const std::string& name);

// Returns a view of a contiguous tensor on the CPU, which must outlive the view. Throws as dtype_of
// does.
io::TensorView bytes_of(const at::Tensor& tensor, const std::string& name);

}  // namespace pangu::tensors
