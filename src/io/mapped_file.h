// A whole file as read-only bytes, by mmap. The pages are shared with other processes that map it.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace pangu::io {

// Movable, read-only, safe to read from several threads. The file must not be shortened while it is
// mapped (replacing it by rename, as io/atomic_file.h does, is safe).
class MappedFile {
 public:
  // Error kIo if it cannot be opened or is not a regular file. An empty file gives empty bytes.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// Bytes of a mapped file that are not needed again soon: their pages leave this process, and come
// back from the file if they are read after all.
void forget_pages(std::span<const std::byte> mapped);

// A small text file as one string. Error kIo if it cannot be read or is above `cap_bytes`.
std::string read_text_file(const std::string& path, size_t cap_bytes = size_t{256} << 20);

}  // namespace pangu::io
