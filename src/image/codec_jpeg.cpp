// JPEG by libjpeg-turbo, and the one EXIF field that changes what a picture looks like.
#include <turbojpeg.h>

#include <cstring>
#include <memory>

#include "core/error.h"
#include "image/codecs.h"

namespace pangu::image {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;

// CMYK as Adobe stores it, inverted: 255 is no ink.
Image rgb_of_inverted_cmyk(const Image& cmyk) {
  Image rgb{cmyk.width, cmyk.height, 3, {}};
  rgb.pixels.reserve(cmyk.pixels.size() / 4 * 3);
  for (size_t i = 0; i < cmyk.pixels.size(); i += 4) {
    for (int c = 0; c < 3; ++c) {
      rgb.pixels.push_back(
          static_cast<uint8_t>((cmyk.pixels[i + c] * cmyk.pixels[i + 3] + 127) / 255));
    }
  }
  return rgb;
}

// Big- or little-endian numbers at an offset; 0 beyond the end, which no tag means.
struct TiffReader {
  std::span<const uint8_t> bytes;
  bool big_endian;

  uint32_t number(size_t offset, size_t size) const {
    if (offset > bytes.size() || bytes.size() - offset < size) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value = value << 8 | bytes[offset + (big_endian ? i : size - 1 - i)];
    }
    return value;
  }
};

int orientation_of_tiff(std::span<const uint8_t> tiff) {
  if (tiff.size() < 8) return 1;
  const TiffReader reader{tiff, tiff[0] == 'M'};
  const size_t directory = reader.number(4, 4);
  const uint32_t entries = reader.number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (reader.number(entry, 2) != kOrientationTag) continue;
    const uint32_t value = reader.number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

using Decoder = std::unique_ptr<void, int (*)(tjhandle)>;

Decoder new_decoder() {
  Decoder decoder(tjInitDecompress(), &tjDestroy);
  if (!decoder) throw Error(ErrorCode::kUnavailable, "no memory for a JPEG decoder");
  return decoder;
}

struct Header {
  int width, height, colorspace;
};

Header read_header(tjhandle decoder, std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  Header header{};
  int subsampling = 0;
  if (tjDecompressHeader3(decoder, bytes.data(), bytes.size(), &header.width, &header.height,
                          &subsampling, &header.colorspace) != 0) {
    throw bad_input("JPEG, header", "", tjGetErrorStr2(decoder));
  }
  check_limits("JPEG", header.width, header.height, limits);
  return header;
}

}  // namespace

int exif_orientation(std::span<const uint8_t> jpeg) {
  size_t at = 2;
  while (at + 4 <= jpeg.size() && jpeg[at] == 0xFF) {
    const uint8_t marker = jpeg[at + 1];
    const size_t length = size_t{jpeg[at + 2]} << 8 | jpeg[at + 3];
    if (marker == 0xDA || length < 2 || at + 2 + length > jpeg.size()) return 1;
    const auto body = jpeg.subspan(at + 4, length - 2);
    if (marker == 0xE1 && body.size() > 6 && std::memcmp(body.data(), "Exif\0\0", 6) == 0) {
      return orientation_of_tiff(body.subspan(6));
    }
    at += 2 + length;
  }
  return 1;
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

ImageInfo peek_jpeg(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  const Decoder decoder = new_decoder();
  const Header header = read_header(decoder.get(), bytes, limits);
  const bool swap = exif_orientation(bytes) >= 5;
  return {swap ? header.height : header.width, swap ? header.width : header.height, false};
}

Image decode_jpeg(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  const Decoder decoder = new_decoder();
  const auto [width, height, colorspace] = read_header(decoder.get(), bytes, limits);
  const bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  Image image{width, height, cmyk ? 4 : 3, {}};
  image.pixels.resize(static_cast<size_t>(width) * height * image.channels);
  // LIMITSCANS: a progressive file of a thousand empty scans costs minutes otherwise.
  const int result =
      tjDecompress2(decoder.get(), bytes.data(), bytes.size(), image.pixels.data(), width, 0,
                    height, cmyk ? TJPF_CMYK : TJPF_RGB, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
  if (result != 0) {
    const std::string cause = tjGetErrorStr2(decoder.get());
    // Stray bytes between markers are common and harmless; everything else means lost pixels.
    if (cause.find("extraneous bytes") == std::string::npos) {
      throw bad_input("JPEG, pixels", "", cause);
    }
  }
  return upright(cmyk ? rgb_of_inverted_cmyk(image) : image, exif_orientation(bytes));
}

Bytes encode_jpeg(const Image& image, const JpegOptions& options) {
  check_encodable(image);
  if (options.quality < 1 || options.quality > 100) {
    throw bad_input("JPEG quality", "1 to 100", std::to_string(options.quality));
  }
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), &tjDestroy);
  if (!encoder) throw Error(ErrorCode::kUnavailable, "no memory for a JPEG encoder");
  unsigned char* data = nullptr;
  unsigned long size = 0;
  const int result = tjCompress2(encoder.get(), image.pixels.data(), image.width, 0, image.height,
                                 image.channels == 4 ? TJPF_RGBX : TJPF_RGB, &data, &size,
                                 TJSAMP_444, options.quality, TJFLAG_ACCURATEDCT);
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> buffer(data, &tjFree);
  if (result != 0) throw bad_input("JPEG, pixels", "", tjGetErrorStr2(encoder.get()));
  return {buffer.get(), buffer.get() + size};
}

}  // namespace pangu::image
