// JPEG by libjpeg-turbo.
#include <turbojpeg.h>

#include <memory>

#include "core/error.h"
#include "image/codecs.h"
#include "image/exif.h"

namespace pangu::image {
namespace {

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

ImageInfo peek_jpeg(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  const Decoder decoder = new_decoder();
  const Header header = read_header(decoder.get(), bytes, limits);
  return upright_info({header.width, header.height, false}, orientation_of_jpeg(bytes));
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
  return upright(cmyk ? rgb_of_inverted_cmyk(image) : image, orientation_of_jpeg(bytes));
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
