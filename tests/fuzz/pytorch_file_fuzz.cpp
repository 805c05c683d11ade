// Any bytes are either refused with an Error or parsed into views that lie inside them, or inside
// the copies of tensors that were strided.
#include <cstdint>

#include "core/error.h"
#include "io/python/pytorch_file.h"
#include "io/weights_file.h"
#include "require.h"

using namespace pangu::io;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  std::deque<std::vector<std::byte>> copies;
  try {
    unsigned sum = 0;
    for (const auto& [name, view] : parse_pytorch(bytes, "fuzz", copies).tensors) {
      require(view.size_bytes ==
              size_of(view.dtype) * static_cast<size_t>(element_count(view.shape)));
      for (size_t i = 0; i < view.size_bytes; ++i) sum += static_cast<unsigned>(view.data[i]);
    }
    [[maybe_unused]] volatile unsigned kept = sum;  // so that the reads are not left out
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
