// Any bytes are either refused with an Error or parsed into arrays of as many bytes as their shapes
// need.
#include <cstdint>

#include "core/error.h"
#include "io/python/npz.h"
#include "io/weights_file.h"
#include "require.h"

using namespace pangu::io;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    for (const auto& [name, array] :
         parse_npz({reinterpret_cast<const std::byte*>(data), size}, "fuzz")) {
      require(array.data.size() ==
              size_of(array.dtype) * static_cast<size_t>(element_count(array.shape)));
    }
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
