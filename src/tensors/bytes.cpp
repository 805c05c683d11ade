#include "tensors/bytes.h"

#include <torch/types.h>

#include <cstring>
#include <utility>

#include "core/error.h"

namespace pangu::tensors {
namespace {

struct SameType {
  io::DType file;
  at::ScalarType torch;
};

constexpr SameType kTypes[] = {{io::DType::F32, at::kFloat},
                               {io::DType::BF16, at::kBFloat16},
                               {io::DType::F16, at::kHalf},
                               {io::DType::F64, at::kDouble},
                               {io::DType::I64, at::kLong},
                               {io::DType::I32, at::kInt},
                               {io::DType::I16, at::kShort},
                               {io::DType::I8, at::kChar},
                               {io::DType::U8, at::kByte},
                               {io::DType::BOOL, at::kBool},
                               {io::DType::F8_E4M3, at::kFloat8_e4m3fn},
                               {io::DType::F8_E5M2, at::kFloat8_e5m2}};

}  // namespace

at::ScalarType scalar_type_of(io::DType dtype, const std::string& name) {
  for (const SameType& type : kTypes) {
    if (type.file == dtype) return type.torch;
  }
  throw bad_input("tensor '" + name + "'", "a float or signed integer dtype", io::name_of(dtype));
}

io::DType dtype_of(at::ScalarType type, const std::string& name) {
  for (const SameType& same : kTypes) {
    if (same.torch == type) return same.file;
  }
  throw Error(ErrorCode::kInternal,
              "tensor '" + name + "' has a dtype that safetensors lacks: " + c10::toString(type));
}

at::Tensor copied(const io::TensorView& view, const std::string& name) {
  at::Tensor tensor = at::empty(view.shape, scalar_type_of(view.dtype, name));
  if (view.size_bytes > 0) std::memcpy(tensor.mutable_data_ptr(), view.data, view.size_bytes);
  if (view.scales.empty()) return tensor;
  at::Tensor scales = at::tensor(view.scales);
  while (scales.dim() < tensor.dim()) scales = scales.unsqueeze(-1);
  return tensor.to(at::kFloat).mul_(scales);
}

at::Tensor shared(const io::TensorView& view, std::shared_ptr<const void> owner,
                  const std::string& name) {
  const bool aligned = reinterpret_cast<uintptr_t>(view.data) % io::size_of(view.dtype) == 0;
  if (!aligned || view.size_bytes == 0 || !view.scales.empty()) return copied(view, name);
  return at::from_blob(
      const_cast<std::byte*>(view.data), view.shape, [owner = std::move(owner)](void*) {},
      scalar_type_of(view.dtype, name));
}

io::TensorView bytes_of(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.is_cpu() || !tensor.is_contiguous()) {
    throw Error(ErrorCode::kInternal, "tensor '" + name + "' is not contiguous on the CPU");
  }
  return {dtype_of(tensor.scalar_type(), name), tensor.sizes().vec(),
          static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace pangu::tensors
