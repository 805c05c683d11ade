// Files as bytes: mmap with an owner. Knows no format.
#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "core/error.h"

namespace pangu::io {

MappedFile::MappedFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw io_error("cannot open", path, errno);
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    const int cause = errno;
    ::close(fd);
    throw io_error("cannot stat", path, cause);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(fd);
    throw io_error("cannot read", path, S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
  }
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) {  // mmap refuses a length of nought
    ::close(fd);
    return;
  }
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  const int cause = errno;
  ::close(fd);
  if (start == MAP_FAILED) throw io_error("cannot map", path, cause);
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

void forget_pages(std::span<const std::byte> mapped) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  // Whole pages only: others' bytes may lie beside.
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = (begin + mapped.size()) / page * page;
  // Advice: that it is not taken changes nothing.
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

std::string read_text_file(const std::string& path, size_t cap_bytes) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() > cap_bytes) {
    throw bad_input("file '" + path + "'", "at most " + std::to_string(cap_bytes) + " bytes",
                    std::to_string(bytes.size()));
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace pangu::io
