// Numbers that are kept on a disk instead of in memory while a process lives: a mapped file without
// a name, which is gone with the process however it ends.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <string>
#include <vector>

namespace pangu::train {

class ScratchFile {
 public:
  // For tensors of so many f32. `folder` must be there. Error kIo if the disk has no room.
  ScratchFile(const std::string& folder, const std::vector<int64_t>& counts);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  at::Tensor floats(size_t i) const;  // [counts[i]] f32, valid while this lives

 private:
  std::vector<int64_t> counts_;
  std::vector<size_t> offsets_;  // bytes, of whole pages
  size_t size_bytes_ = 0;
  std::byte* memory_ = nullptr;
};

}  // namespace pangu::train
