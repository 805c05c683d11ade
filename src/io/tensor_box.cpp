#include "io/tensor_box.h"

#include <algorithm>

#include "io/weights_file.h"

namespace pangu::io {

TensorBox whole_box(const std::vector<int64_t>& shape) {
  return {std::vector<int64_t>(shape.size(), 0), shape};
}

TensorBox common_box(const TensorBox& a, const TensorBox& b) {
  TensorBox common = a;
  for (size_t axis = 0; axis < a.sizes.size(); ++axis) {
    const int64_t begin = std::max(a.offsets[axis], b.offsets[axis]);
    const int64_t end = std::min(a.offsets[axis] + a.sizes[axis], b.offsets[axis] + b.sizes[axis]);
    common.offsets[axis] = begin;
    common.sizes[axis] = std::max<int64_t>(0, end - begin);
  }
  return common;
}

// From where it stands, the next box takes whole entries of the outermost axis of which one begins
// here and still fits, as many as fit before that axis ends.
std::vector<TensorBox> boxes_of_range(const std::vector<int64_t>& shape, int64_t begin,
                                      int64_t end) {
  std::vector<TensorBox> boxes;
  while (begin < end) {
    TensorBox box = whole_box(shape);
    int64_t entry = element_count(shape), taken = entry;  // elements of one index of an axis
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      entry /= shape[axis];
      const int64_t index = begin / entry % shape[axis];
      box.offsets[axis] = index;
      if (begin % entry == 0 && end - begin >= entry) {
        box.sizes[axis] = std::min(shape[axis] - index, (end - begin) / entry);
        taken = box.sizes[axis] * entry;
        break;
      }
      box.sizes[axis] = 1;
    }
    begin += taken;
    boxes.push_back(std::move(box));
  }
  return boxes;
}

}  // namespace pangu::io
