// Tensors from fuzzed text, for the rules that work on names and shapes: one line a tensor, a
// letter for the dtype, its sides, its name: "f 320,4,3,3 conv_in.weight". The bytes are one shared
// buffer.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"

namespace pangu::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();  // a finding
}

inline const std::vector<std::byte>& shared_bytes() {
  static const std::vector<std::byte> bytes(size_t{1} << 20, std::byte{0x3C});
  return bytes;
}

// Lines that say nothing possible are passed over.
inline io::TensorViews tensors_of(std::string_view text) {
  io::TensorViews tensors;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.size() < 4 || line[1] != ' ') continue;
    io::TensorView view;
    view.dtype = line[0] == 'h'   ? io::DType::F16
                 : line[0] == 'b' ? io::DType::BF16
                 : line[0] == 'i' ? io::DType::I64
                 : line[0] == '8' ? io::DType::F8_E4M3
                                  : io::DType::F32;
    line.remove_prefix(2);
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    size_t bytes = io::size_of(view.dtype);
    int64_t side = 0;
    bool digits = false;
    for (const char c : std::string(line.substr(0, space)) + ",") {
      if (c >= '0' && c <= '9') {
        side = std::min<int64_t>(side * 10 + (c - '0'), 1 << 16);
        digits = true;
      } else if (digits) {
        view.shape.push_back(side);
        bytes = std::min<size_t>(bytes * static_cast<size_t>(side), size_t{1} << 40);
        side = 0;
        digits = false;
      }
    }
    if (bytes > shared_bytes().size() || view.shape.size() > 8) continue;
    view.data = shared_bytes().data();
    view.size_bytes = bytes;
    tensors.emplace(std::string(line.substr(space + 1)), view);
  }
  return tensors;
}

// A view lies inside the shared bytes and is as long as its shape says.
inline void require_inside(const io::TensorView& view) {
  const auto& bytes = shared_bytes();
  require(view.data >= bytes.data() && view.data <= bytes.data() + bytes.size());
  require(view.size_bytes <= static_cast<size_t>(bytes.data() + bytes.size() - view.data));
  size_t wanted = io::size_of(view.dtype);
  for (const int64_t side : view.shape) wanted *= static_cast<size_t>(side);
  require(wanted == view.size_bytes);
}

}  // namespace pangu::fuzz
