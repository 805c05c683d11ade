#include "train/state_parts.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "io/weights_file.h"

namespace pangu::train {
namespace {

// The axes of a dense tensor as they follow in memory, the slowest first.
struct MemoryOrder {
  std::vector<int64_t> axes, sizes;

  explicit MemoryOrder(const at::Tensor& dense) : axes(size_t(dense.dim())) {
    std::iota(axes.begin(), axes.end(), int64_t{0});
    std::stable_sort(axes.begin(), axes.end(),
                     [&](int64_t a, int64_t b) { return dense.stride(a) > dense.stride(b); });
    for (const int64_t axis : axes) sizes.push_back(dense.size(axis));
  }

  // A box of the axes in memory's order as one of the tensor's axes.
  io::TensorBox logical(const io::TensorBox& in_memory) const {
    io::TensorBox box = in_memory;
    for (size_t k = 0; k < axes.size(); ++k) {
      box.offsets[size_t(axes[k])] = in_memory.offsets[k];
      box.sizes[size_t(axes[k])] = in_memory.sizes[k];
    }
    return box;
  }

  // A piece of memory, [n], that is a box, with the tensor's axes.
  at::Tensor view(const at::Tensor& piece, const io::TensorBox& in_memory) const {
    std::vector<int64_t> back(axes.size());
    for (size_t k = 0; k < axes.size(); ++k) back[size_t(axes[k])] = int64_t(k);
    return piece.view(in_memory.sizes).permute(back);
  }
};

}  // namespace

std::vector<StatePart> share_of(const LazyTensors& state, int rank, int processes) {
  std::vector<const LazyTensors::value_type*> order;
  for (const auto& item : state) order.push_back(&item);
  const auto bytes = [](const auto* item) {
    return io::element_count(item->second.shape) * int64_t(c10::elementSize(item->second.type));
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const auto* a, const auto* b) { return bytes(a) > bytes(b); });
  std::vector<int64_t> load(size_t(processes), 0);
  std::vector<StatePart> parts;
  for (const auto* item : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += bytes(item);
    if (least - load.begin() != rank) continue;
    parts.push_back({item->first, io::whole_box(item->second.shape), item->second});
  }
  return parts;
}

std::vector<StatePart> parts_of_range(const std::string& name, const LazyTensor& range,
                                      const at::Tensor& param, const FlatPart& elements) {
  const MemoryOrder order(param);
  std::vector<StatePart> parts;
  int64_t first = 0;  // of a box, in the range
  for (const io::TensorBox& box : io::boxes_of_range(order.sizes, elements.begin, elements.end)) {
    const int64_t count = io::element_count(box.sizes);
    const io::TensorBox logical = order.logical(box);
    const auto make = [range, order, box, first, count] {
      return order.view(range.make().slice(0, first, first + count), box).contiguous();
    };
    parts.push_back({name, logical, {range.type, logical.sizes, make}});
    first += count;
  }
  return parts;
}

LazyTensor range_of(const StoredTensor& stored, const at::Tensor& param, const FlatPart& elements) {
  const MemoryOrder order(param);
  const auto make = [stored, order, elements] {
    const at::Tensor range = at::empty({elements.count()}, stored.type);
    int64_t first = 0;
    for (const io::TensorBox& box : io::boxes_of_range(order.sizes, elements.begin, elements.end)) {
      const int64_t count = io::element_count(box.sizes);
      stored.read(order.logical(box), order.view(range.slice(0, first, first + count), box));
      first += count;
    }
    return range;
  };
  return {stored.type, {elements.count()}, make};
}

LazyTensor whole_of(const StoredTensor& stored) {
  const auto make = [stored] {
    const at::Tensor whole = at::empty(stored.shape, stored.type);
    stored.read(io::whole_box(stored.shape), whole);
    return whole;
  };
  return {stored.type, stored.shape, make};
}

LazyTensors whole_of(const StoredTensors& stored) {
  LazyTensors all;
  for (const auto& [name, tensor] : stored) all[name] = whole_of(tensor);
  return all;
}

}  // namespace pangu::train
