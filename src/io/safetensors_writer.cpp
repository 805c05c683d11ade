// Safetensors in one pass: the header from the plan, then checked appending.
#include "io/safetensors_writer.h"

#include "core/error.h"

namespace pangu::io {
namespace {

Error mistake(const std::string& what) {
  return {ErrorCode::kInternal, "writing safetensors: " + what};
}

}  // namespace

uint64_t size_bytes_of(const TensorPlan& tensor) {
  uint64_t bytes = size_of(tensor.dtype);
  for (const int64_t side : tensor.shape) {
    if (side < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(side), &bytes)) {
      throw mistake("the shape of '" + tensor.name + "' is none");
    }
  }
  return bytes;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path,
                                     const std::vector<TensorPlan>& tensors,
                                     const Metadata& metadata)
    : writer_(path) {
  for (const TensorPlan& tensor : tensors) {
    const TensorView view{tensor.dtype, tensor.shape, nullptr, size_bytes_of(tensor)};
    if (!views_.emplace(tensor.name, view).second) throw mistake("'" + tensor.name + "' twice");
  }
  const SafetensorsLayout layout = safetensors_layout(views_, metadata);
  for (const auto* item : layout.order) order_.push_back(item->first);
  writer_.write(layout.header);
}

void SafetensorsWriter::add(const std::string& name, std::span<const std::byte> bytes) {
  if (next_ >= order_.size() || order_[next_] != name) {
    throw mistake("'" + name + "' out of turn");
  }
  if (bytes.size() != views_.at(name).size_bytes) {
    throw mistake("'" + name + "' has " + std::to_string(bytes.size()) + " bytes, not " +
                  std::to_string(views_.at(name).size_bytes));
  }
  writer_.write(bytes);
  ++next_;
}

void SafetensorsWriter::commit() {
  if (next_ != order_.size()) throw mistake("'" + order_[next_] + "' is missing");
  writer_.commit();
}

}  // namespace pangu::io
