// Parts of a training's state between processes and files. A process has whole tensors, or of each
// a range of elements in the order of its parameter's memory; files hold boxes
// (io/tensor_box.h). Knows no format and no process group.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/tensor_box.h"
#include "train/flat_layout.h"
#include "train/lazy_tensor.h"

namespace pangu::train {

// A box of a tensor that one process writes.
struct StatePart {
  std::string name;
  io::TensorBox box;
  LazyTensor tensor;  // its shape is box.sizes
};

// A tensor in files, of which any box can be read without the rest.
struct StoredTensor {
  at::ScalarType type = at::kFloat;
  std::vector<int64_t> shape;
  // into: of the stored type and box.sizes, any strides, on the host.
  std::function<void(const io::TensorBox& box, const at::Tensor& into)> read;
};

using StoredTensors = std::map<std::string, StoredTensor>;

// Whole tensors that every process has, as parts: process `rank` of `processes` gets those that are
// its to write, about as many bytes as the others.
std::vector<StatePart> share_of(const LazyTensors& state, int rank, int processes);

// Elements [begin, end) of a dense parameter's memory as parts of the whole tensor. range: of them,
// [end - begin].
std::vector<StatePart> parts_of_range(const std::string& name, const LazyTensor& range,
                                      const at::Tensor& param, const FlatPart& elements);

// Back: these elements of a stored tensor of the parameter's shape, [end - begin], or all of it.
LazyTensor range_of(const StoredTensor& stored, const at::Tensor& param, const FlatPart& elements);
LazyTensor whole_of(const StoredTensor& stored);
LazyTensors whole_of(const StoredTensors& stored);

}  // namespace pangu::train
