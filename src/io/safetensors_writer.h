// A safetensors file written one tensor after another, for models that do not fit in memory: names,
// types and shapes first, then the bytes of each in the order that the writer says. Knows no
// libtorch and converts nothing. Format and layout: io/safetensors.h.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/safetensors.h"

namespace pangu::io {

// A tensor to come.
struct TensorPlan {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
};

// Atomic: the file appears with commit(). Not thread-safe.
class SafetensorsWriter {
 public:
  // Writes the header. Error kInternal for a name that comes twice, a shape that overflows;
  // kIo if the file cannot be written.
  SafetensorsWriter(const std::string& path, const std::vector<TensorPlan>& tensors,
                    const Metadata& metadata = {});

  // In this order the tensors must come.
  const std::vector<std::string>& order() const { return order_; }

  // The next one. Error kInternal if it is another's turn or the bytes are not as many as its
  // shape's; kIo if the disk is full (nothing remains).
  void add(const std::string& name, std::span<const std::byte> bytes);

  // Error kInternal if tensors are missing. REQUIRES: called at most once, nothing after.
  void commit();

  uint64_t size_bytes() const { return writer_.size_bytes(); }  // written so far

 private:
  AtomicWriter writer_;
  TensorViews views_;  // of the plan, without data
  std::vector<std::string> order_;
  size_t next_ = 0;
};

// Bytes that a tensor has. Error kInternal if the number overflows.
uint64_t size_bytes_of(const TensorPlan& tensor);

}  // namespace pangu::io
