// MindSpore's checkpoint file: one protobuf message Checkpoint{repeated Value value=1},
// Value{string tag=1; TensorProto tensor=2}, TensorProto{repeated int64 dims=1; string
// tensor_type=2; bytes tensor_content=3}. The reader of the wire format is our own; it needs
// neither a protobuf library nor libtorch. Format: mindspore/ccsrc/utils/checkpoint.proto; checked
// against the released PanGu-Draw 3 files.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/atomic_file.h"
#include "io/safetensors.h"

namespace pangu::io {

// Whether bytes begin like such a file: with a Value whose tag is text and whose lengths do not
// exceed the file.
bool looks_like_mindspore(std::span<const std::byte> bytes);

// Returns views into `bytes` under the names of the file. Scalars, which old versions write as dims
// [0] and new ones without dims, get the shape []. Throws kBadInput for anything malformed, a type
// that the program lacks, or a tag that comes twice (MindSpore slices tensors above 512 MiB that
// way; they are refused).
TensorViews parse_mindspore(std::span<const std::byte> bytes,
                            const std::string& name = "MindSpore checkpoint");

// Replaces MindSpore's names by torch's: .gamma -> .weight, .beta -> .bias, .embedding_table ->
// .weight.
std::string torch_name_of(const std::string& mindspore_name);

// What the writer must know of a tensor before it gets the bytes.
struct MindSporeTensor {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;  // [] is written as dims [0], like the released files
};

// The exact length of the file that write_mindspore would write. Throws kInternal for a dtype that
// the format lacks.
uint64_t mindspore_size_bytes(const std::vector<MindSporeTensor>& tensors);

// Writes one tensor after another to an atomic file: `content(i, out)` appends the bytes of tensor
// i to the file through out(bytes), in as many pieces as it likes. Throws kInternal if they are not
// as many as the shape says.
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_mindspore(const std::string& path, const std::vector<MindSporeTensor>& tensors,
                     const std::function<void(size_t index, const ByteSink& out)>& content);
// Writes tensors that are in memory, in the order of their names.
void write_mindspore(const std::string& path, const TensorViews& tensors);
std::string mindspore_bytes(const TensorViews& tensors);

}  // namespace pangu::io
