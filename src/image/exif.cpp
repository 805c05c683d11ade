#include "image/exif.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "image/exif_text.h"
#include "image/tiff.h"

namespace pangu::image {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;

int orientation_of_tiff(std::span<const uint8_t> tiff) {
  if (tiff.size() < 8) return 1;
  const TiffReader reader(tiff);
  std::optional<uint32_t> value;  // of the first such tag
  reader.entries(reader.directory(), [&](uint16_t tag, size_t entry) {
    if (tag == kOrientationTag && !value) value = reader.number(entry + 8, 2);
  });
  return value && *value >= 1 && *value <= 8 ? static_cast<int>(*value) : 1;
}

}  // namespace

int orientation_of_jpeg(std::span<const uint8_t> file) {
  return orientation_of_tiff(exif_of_jpeg(file));
}

int orientation_of_png(std::span<const uint8_t> file) {
  // Chunks: length, type, data, checksum. The PNG standard lets eXIf stand behind the pixels too.
  const TiffReader reader(file, /*big_endian=*/true);
  for (size_t at = 8; at + 12 <= file.size();) {
    const size_t length = reader.number(at, 4);
    if (length > file.size() - at - 12) return 1;
    if (std::memcmp(&file[at + 4], "eXIf", 4) == 0) {
      return orientation_of_tiff(file.subspan(at + 8, length));
    }
    at += 12 + length;
  }
  return 1;
}

int orientation_of_webp(std::span<const uint8_t> file) {
  return orientation_of_tiff(exif_of_webp(file));
}

Image upright(const Image& image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  // EXIF 2.3, table 6: 5-8 swap the axes; 2, 3, 7, 8 and 3, 4, 6, 7 mirror the stored x and y.
  const bool swap = orientation >= 5;
  const bool mirror_x =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image turned{swap ? image.height : image.width, swap ? image.width : image.height, image.channels,
               Bytes(image.pixels.size())};
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      const int u = swap ? y : x, v = swap ? x : y;
      const uint8_t* from =
          image.at(mirror_x ? image.width - 1 - u : u, mirror_y ? image.height - 1 - v : v);
      std::copy(from, from + image.channels, turned.at(x, y));
    }
  }
  return turned;
}

ImageInfo upright_info(ImageInfo stored, int orientation) {
  if (orientation >= 5 && orientation <= 8) std::swap(stored.width, stored.height);
  return stored;
}

}  // namespace pangu::image
