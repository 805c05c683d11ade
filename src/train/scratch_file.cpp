#include "train/scratch_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/error.h"

namespace pangu::train {

ScratchFile::ScratchFile(const std::string& folder, const std::vector<int64_t>& counts)
    : counts_(counts) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  for (const int64_t count : counts) {
    offsets_.push_back(size_bytes_);
    size_bytes_ += (static_cast<size_t>(count) * sizeof(float) + page - 1) / page * page;
  }
  size_bytes_ = std::max(size_bytes_, page);
  std::string path = folder + "/.scratch.XXXXXX";
  const int file = ::mkstemp(path.data());
  if (file < 0) throw io_error("cannot make a file in", folder, errno);
  ::unlink(path.c_str());
  // All of it at once: a disk that is full later would end the process by a signal.
  int failed = ::posix_fallocate(file, 0, static_cast<off_t>(size_bytes_));
  void* mapped = MAP_FAILED;
  if (failed == 0) {
    mapped = ::mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) failed = errno;
  }
  ::close(file);
  if (failed != 0) throw io_error("cannot keep averages in a file in", folder, failed);
  memory_ = static_cast<std::byte*>(mapped);
}

ScratchFile::~ScratchFile() { ::munmap(memory_, size_bytes_); }

at::Tensor ScratchFile::floats(size_t i) const {
  return at::from_blob(memory_ + offsets_.at(i), {counts_.at(i)}, at::kFloat);
}

}  // namespace pangu::train
