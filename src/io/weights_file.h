// Any weight file that people have, as named views into mapped bytes: .safetensors, the sharded
// index of diffusers and transformers, MindSpore .ckpt. The format is told from the bytes, never
// from the name. Knows no family and renames nothing but MindSpore's own words
// (io/mindspore/mindspore_ckpt.h) and what saving has put around names (io/saved_forms.h).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace pangu::io {

// A tensor under the name and in the layout that diffusers and transformers give it.
struct NamedTensor {
  TensorView view;         // view.shape is already the wanted one, unless `transpose`
  bool transpose = false;  // the bytes are [I,O] and the wanted tensor is [O,I]
};
using NamedTensors = std::map<std::string, NamedTensor>;

// The shape that the tensor has once it is transposed where need be.
std::vector<int64_t> shape_of(const NamedTensor& tensor);

enum class WeightsKind { kSafetensors, kShardedSafetensors, kMindSpore };
const char* name_of(WeightsKind kind);  // "safetensors", "sharded safetensors", "MindSpore ckpt"

// Movable; views live as long as the object. Reads headers only.
class WeightsFile {
 public:
  // `path`: a file, or a folder with one set of weights (weights_path_in). Error kIo if it cannot
  // be read; kBadInput if it is malformed, or of a known but unsupported format (pickled
  // .ckpt/.pt/.bin, GGUF, ONNX, NumPy, HTML, a Git-LFS pointer, ...), with a hint what to do.
  static WeightsFile open(const std::string& path);

  // Without what saving has put around them; scales of fp8 are in the views.
  const TensorViews& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }  // of a sharded file: of its first shard
  WeightsKind kind() const { return kind_; }
  const std::vector<std::string>& paths() const { return paths_; }  // every file that is mapped
  uint64_t size_bytes() const;                                      // of those files together

 private:
  WeightsFile() = default;
  static WeightsFile as_saved(const std::string& path);
  WeightsKind kind_ = WeightsKind::kSafetensors;
  std::vector<MappedFile> files_;
  std::vector<std::string> paths_;
  TensorViews tensors_;
  Metadata metadata_;
};

// The weights of a component's folder (unet/, vae/, ...): the index of shards or the one
// .safetensors, the plain names of diffusers and transformers before variants such as ".fp16.".
// Error kBadInput if there is none (a pickled .bin is named with the hint how to convert it) or if
// it is open which one is meant.
std::string weights_path_in(const std::string& folder);

// Whether `bytes` begin like a .safetensors: the length of a header and its first brace. Such a
// file is never taken for another format.
bool looks_like_safetensors(std::span<const std::byte> bytes);

// Error kBadInput if `bytes` begin like a format that is known and not supported; says which, and
// what to do. `name` is how the error calls the file.
void refuse_known_formats(std::span<const std::byte> bytes, const std::string& name);

// One number of any float or integer type. Error kBadInput if the tensor does not hold exactly one.
double scalar_of(const TensorView& view, const std::string& name);

// Elements of a shape; the reader has checked that the product fits.
int64_t element_count(const std::vector<int64_t>& shape);
std::string shape_text(const std::vector<int64_t>& shape);  // "[320,4,3,3]", "[]"

}  // namespace pangu::io
