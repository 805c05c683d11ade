// Any bytes are either refused with an Error or parsed into views that lie inside them and that are
// written back and read again as the same tensors, in as many bytes as was said before.
#include <cstdint>
#include <cstring>

#include "core/error.h"
#include "io/mindspore/mindspore_ckpt.h"
#include "io/weights_file.h"
#include "require.h"

using namespace pangu::io;

namespace {}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  looks_like_mindspore(bytes);
  try {
    refuse_known_formats(bytes, "input");
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  try {
    const TensorViews tensors = parse_mindspore(bytes);
    std::vector<MindSporeTensor> heads;
    for (const auto& [name, view] : tensors) {
      require(view.data >= bytes.data());
      require(view.size_bytes <= size_t(bytes.data() + size - view.data));
      torch_name_of(name);
      heads.push_back({name, view.dtype, view.shape});
    }
    const std::string again = mindspore_bytes(tensors);
    require(again.size() == mindspore_size_bytes(heads));
    const TensorViews reread = parse_mindspore(std::as_bytes(std::span(again)));
    require(reread.size() == tensors.size());
    for (const auto& [name, view] : tensors) {
      const TensorView& other = reread.at(name);
      require(other.dtype == view.dtype && other.shape == view.shape);
      require(other.size_bytes == view.size_bytes);
      require(view.size_bytes == 0 || std::memcmp(other.data, view.data, view.size_bytes) == 0);
    }
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
