// The safetensors format: 8 bytes little-endian length N, N bytes of JSON {name: {dtype, shape,
// data_offsets}, "__metadata__": {text: text}}, then the tensors' bytes, without gaps.
// Knows dtypes and shapes, no arithmetic and no libtorch. Format: huggingface/safetensors README.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/mapped_file.h"

namespace pangu::io {

enum class DType {
  F64,
  F32,
  F16,
  BF16,
  I64,
  I32,
  I16,
  I8,
  U64,
  U32,
  U16,
  U8,
  BOOL,
  F8_E4M3,
  F8_E5M2
};

size_t size_of(DType dtype);       // bytes an element
const char* name_of(DType dtype);  // as in the file: "F32", "BF16", ...

// A tensor inside bytes that someone else owns; row-major, little-endian, not necessarily aligned.
struct TensorView {
  DType dtype = DType::F32;
  std::vector<int64_t> shape;  // [] is a scalar; a 0 makes it empty
  const std::byte* data = nullptr;
  size_t size_bytes = 0;
  // What the stored numbers are multiplied by: nothing, one number, or one for each index of the
  // first axis (scaled fp8, io/saved_forms.h).
  std::vector<float> scales = {};
};

using TensorViews = std::map<std::string, TensorView>;
using Metadata = std::map<std::string, std::string>;

struct SafetensorsContent {
  TensorViews tensors;  // point into the bytes that were parsed
  Metadata metadata;
};

// Header above this is refused unread, as the reference implementation does.
inline constexpr size_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Checks everything (sizes, JSON, duplicate names, offsets, overlap, gaps, shape products) before
// the first view is handed out. `name` is how errors call the bytes. Error kBadInput.
SafetensorsContent parse_safetensors(std::span<const std::byte> bytes,
                                     const std::string& name = "safetensors");

// A mapped file and its views; the views live as long as this object (moving it keeps them valid).
class SafetensorsFile {
 public:
  // Error kIo if it cannot be read, kBadInput if it is not well-formed.
  static SafetensorsFile open(const std::string& path);

  const TensorViews& tensors() const { return content_.tensors; }
  const Metadata& metadata() const { return content_.metadata; }

 private:
  SafetensorsFile(MappedFile file, SafetensorsContent content);
  MappedFile file_;
  SafetensorsContent content_;
};

// What comes before the data, and the order of the data. Points into the tensors it was made of;
// their `data` is not looked at. Error kInternal as write_safetensors.
struct SafetensorsLayout {
  std::vector<const TensorViews::value_type*> order;
  std::string header;  // length and JSON, padded
};
SafetensorsLayout safetensors_layout(const TensorViews& tensors, const Metadata& metadata = {});

// Writes atomically. Tensors are laid out by falling element size, then by name, and the header is
// padded to 8 bytes, so that every tensor is aligned. Error kInternal if size_bytes contradicts the
// shape, kIo if the disk is full (the file of that name from before then stays).
void write_safetensors(const std::string& path, const TensorViews& tensors,
                       const Metadata& metadata = {});

// The same bytes in memory.
std::string safetensors_bytes(const TensorViews& tensors, const Metadata& metadata = {});

}  // namespace pangu::io
