// The zip archives that NumPy (.npz) and PyTorch (.pth, .pt, .bin) write: entries that are stored
// or deflated, with 64-bit sizes, without encryption. Format: PKWARE's APPNOTE 6.3.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pangu::io {

struct ZipEntry {
  std::string name;
  bool deflated = false;
  std::span<const std::byte> stored;  // as in the archive
  uint64_t size_bytes = 0;            // once it is inflated
};

// Reads the archive's directory; entries point into `bytes` and are checked to lie inside. Error
// kBadInput, which calls the archive `name`, if it is damaged, encrypted or otherwise compressed.
std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, const std::string& name);

// The entry's own bytes. Error kBadInput if they are damaged or more than `cap_bytes`.
std::vector<std::byte> contents_of(const ZipEntry& entry, size_t cap_bytes,
                                   const std::string& name);

struct ZipFile {
  std::string name;
  std::string_view bytes;
};
// An archive of these files, stored one after the other. REQUIRES: below 4 GiB together, else Error
// kInternal.
std::string zip_of(const std::vector<ZipFile>& files);

}  // namespace pangu::io
