// A folder of safetensors files of which each has boxes of tensors: the layout that PyTorch's
// torch.distributed.checkpoint (DCP) writes, reads and consolidates as HuggingFaceStorageWriter and
// -Reader. A file has at most one box of a tensor, under the tensor's name; its metadata
// DCP_SHARDING_INFO says where the box lies: {NAME: {"saved_offsets": [one number an axis]}}. The
// shape of a tensor is what its boxes fill. Torch-free; what the tensors mean is the caller's
// business.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "io/tensor_box.h"

namespace pangu::io {

// One box of a tensor, and its bytes in a file, row-major.
struct StoredBox {
  TensorBox box;
  TensorView view;
};

struct ShardedTensor {
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  std::vector<StoredBox> boxes;  // they fill the shape, and no element is in two of them
};

using ShardedTensors = std::map<std::string, ShardedTensor>;

// A file's name for errors, and what is in it. Without DCP_SHARDING_INFO its tensors are whole.
using NamedContent = std::pair<std::string, SafetensorsContent>;

// What the files hold together; views point to where theirs do. Error kBadInput, naming the file
// and the tensor, for offsets that are missing, impossible or of a tensor that is not in the file,
// types that differ, boxes that overlap, and boxes that leave a gap.
ShardedTensors joined(const std::vector<NamedContent>& files);

// The mapped *.safetensors of a folder, or one such file.
class ShardedSafetensors {
 public:
  // Error kIo, or kBadInput, also where there is none.
  explicit ShardedSafetensors(const std::string& path);

  // In the order of their names.
  const std::vector<std::string>& paths() const { return paths_; }
  const Metadata& metadata(size_t file) const { return files_[file].metadata(); }

  // What they hold together, as long as this lives. Throws as io::joined does.
  ShardedTensors joined() const;

 private:
  std::vector<std::string> paths_;
  std::vector<SafetensorsFile> files_;
};

// "shard-00002-model-00001-of-00003.safetensors": file number 1 of 3 of shard number 2. All count
// from 1.
std::string shard_file_name(int shard, int file, int files);

// The metadata of a file that has boxes of these tensors.
Metadata sharding_metadata(const std::map<std::string, std::vector<int64_t>>& offsets);

}  // namespace pangu::io
