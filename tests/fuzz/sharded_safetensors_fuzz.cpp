// Any two files are either refused with an Error or joined into tensors whose boxes lie in them and
// fill them.
#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "io/sharded_safetensors.h"
#include "io/weights_file.h"
#include "require.h"

using namespace pangu::io;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::span bytes(reinterpret_cast<const std::byte*>(data) + 2, size - 2);
  const size_t cut = std::min<size_t>(data[0] | data[1] << 8, bytes.size());
  try {
    std::vector<NamedContent> files = {{"first", parse_safetensors(bytes.first(cut))}};
    if (cut < bytes.size()) files.emplace_back("second", parse_safetensors(bytes.subspan(cut)));
    for (const auto& [name, tensor] : joined(files)) {
      int64_t elements = 0;
      for (const StoredBox& one : tensor.boxes) {
        require(one.box.sizes == one.view.shape && one.view.dtype == tensor.dtype);
        require(common_box(one.box, whole_box(tensor.shape)) == one.box);
        elements += element_count(one.box.sizes);
      }
      require(elements == element_count(tensor.shape));
    }
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
