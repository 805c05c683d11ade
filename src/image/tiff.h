// A reader of TIFF, the format of what EXIF says (TIFF 6.0, section 2). The bytes may be damaged:
// what lies beyond their end reads as 0, which no tag means, or as nothing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace pangu::image {

struct TiffReader {
  std::span<const uint8_t> bytes;
  bool big_endian = true;

  // REQUIRES: bytes are not empty. "MM" begins a file of big-endian numbers.
  explicit TiffReader(std::span<const uint8_t> tiff) : TiffReader(tiff, tiff[0] == 'M') {}
  TiffReader(std::span<const uint8_t> bytes, bool big_endian)
      : bytes(bytes), big_endian(big_endian) {}

  // The number of `size` bytes at an offset.
  uint32_t number(size_t offset, size_t size) const {
    if (offset > bytes.size() || bytes.size() - offset < size) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value = value << 8 | bytes[offset + (big_endian ? i : size - 1 - i)];
    }
    return value;
  }

  // The first directory's offset.
  size_t directory() const { return number(4, 4); }

  // Calls take(tag, offset of the entry) for every entry of a directory.
  template <class Take>
  void entries(size_t directory, const Take& take) const {
    const size_t count = number(directory, 2);
    for (size_t i = 0; i < count; ++i) {
      const size_t entry = directory + 2 + 12 * i;
      if (entry >= bytes.size()) return;
      take(static_cast<uint16_t>(number(entry, 2)), entry);
    }
  }

  // The value of an entry whose values are single bytes.
  std::span<const uint8_t> body(size_t entry) const {
    const size_t size = number(entry + 4, 4);
    const size_t at = size <= 4 ? entry + 8 : number(entry + 8, 4);
    if (at > bytes.size() || bytes.size() - at < size) return {};
    return bytes.subspan(at, size);
  }
};

}  // namespace pangu::image
