// Boxes of a tensor: what lies from an index on, so long along each axis. A range of elements in
// the order of memory is cut into few boxes, since files hold boxes and processes share ranges.
// Integers only: no bytes, no libtorch.
#pragma once
#include <cstdint>
#include <vector>

namespace pangu::io {

// One number an axis; a scalar has none. sizes are not negative.
struct TensorBox {
  std::vector<int64_t> offsets, sizes;
  bool operator==(const TensorBox&) const = default;
};

// The box that is a whole tensor.
TensorBox whole_box(const std::vector<int64_t>& shape);

// What two boxes of one tensor have in common; a size is 0 where they have nothing.
TensorBox common_box(const TensorBox& a, const TensorBox& b);

// Elements [begin, end) of a row-major tensor as boxes, each of which is one piece of that memory,
// in its order: at most 2 R - 1 for R axes longer than 1. REQUIRES: 0 <= begin <= end <= count.
std::vector<TensorBox> boxes_of_range(const std::vector<int64_t>& shape, int64_t begin,
                                      int64_t end);

}  // namespace pangu::io
