// tar archives as lists of members inside bytes: POSIX ustar, pax (path and size) and GNU long
// names. Regular files only; links, folders and devices are passed over. Nothing is extracted to
// disk.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"

namespace pangu::data {

struct TarMember {
  std::string name;
  uint64_t offset = 0;  // of the content, from the start of the archive
  uint64_t size_bytes = 0;
};

struct TarListing {
  std::vector<TarMember> members;
  std::string damage;  // empty if the archive is whole, else what is wrong and where
};

// Lists as far as the archive is readable; never throws for what the bytes are.
TarListing list_tar(std::span<const std::byte> archive);

// Writes members one after another, with fixed owner, mode and time: equal contents give equal
// bytes.
class TarWriter {
 public:
  explicit TarWriter(const std::string& path) : out_(path) {}
  // Error kInternal if the name is empty or above 100 bytes.
  void add(const std::string& name, std::span<const std::byte> content);
  // Ends the archive and makes the file appear (see io::AtomicWriter).
  void commit();
  size_t size_bytes() const { return out_.size_bytes(); }

 private:
  io::AtomicWriter out_;
};

}  // namespace pangu::data
