// Any bytes are either refused with an Error or parsed into views that lie inside them and that are
// written back and read again as the same tensors.
#include <cstdint>
#include <cstring>

#include "core/error.h"
#include "io/safetensors.h"
#include "require.h"

using namespace pangu::io;

namespace {}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const SafetensorsContent content = parse_safetensors(bytes);
    size_t total = 0;
    for (const auto& [name, view] : content.tensors) {
      require(view.data >= bytes.data());
      require(view.size_bytes <= size_t(bytes.data() + size - view.data));
      total += view.size_bytes;
    }
    require(total <= size);
    const std::string again = safetensors_bytes(content.tensors, content.metadata);
    const SafetensorsContent reread = parse_safetensors(std::as_bytes(std::span(again)));
    require(reread.metadata == content.metadata);
    require(reread.tensors.size() == content.tensors.size());
    for (const auto& [name, view] : content.tensors) {
      const TensorView& other = reread.tensors.at(name);
      require(other.dtype == view.dtype && other.shape == view.shape);
      require(other.size_bytes == view.size_bytes);
      require(view.size_bytes == 0 || std::memcmp(other.data, view.data, view.size_bytes) == 0);
    }
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
