// An 8-bit picture in memory, and the ways in and out (PNG, JPEG, WebP, each with text).
// Geometry is in image/resize.h. Writing files atomically is io's: encoders here return bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pangu::image {

// Rows from the top, pixels interleaved: RGB (channels 3) or RGBA (channels 4, alpha not multiplied
// in), sRGB as stored. pixels.size() == width * height * channels.
struct Image {
  int width = 0, height = 0, channels = 0;
  std::vector<uint8_t> pixels;

  bool empty() const { return pixels.empty(); }
  uint8_t* at(int x, int y);
  const uint8_t* at(int x, int y) const;
  bool operator==(const Image&) const = default;
};

struct Color {
  uint8_t r = 255, g = 255, b = 255;
  bool operator==(const Color&) const = default;
};

// A picture of one colour; with 4 channels it is opaque.
Image filled(int width, int height, Color color, int channels = 3);

using Bytes = std::vector<uint8_t>;

// What a decoder accepts, checked from the header before any pixel is allocated.
struct DecodeLimits {
  int max_side_px = 16384;
  int64_t max_pixels = int64_t{1} << 26;
};

// What a picture's header says; sizes are those of the decoded picture.
struct ImageInfo {
  int width = 0, height = 0;
  bool has_alpha = false;
};

// Reads the header alone, under the same rules as decode_image. The pixels may still be damaged.
ImageInfo peek_image(std::span<const uint8_t> bytes, const DecodeLimits& limits = {});

// Recognises PNG, JPEG and WebP by their first bytes. Grey, palette, 16-bit and CMYK become 8-bit
// RGB; any transparency gives RGBA; the EXIF orientation is applied, in every format. Error
// kBadInput for anything else, for cut or damaged data, for animated WebP and above the limits.
Image decode_image(std::span<const uint8_t> bytes, const DecodeLimits& limits = {});

// The same from a file; errors name it. Error kIo if it cannot be read.
Image read_image(const std::string& path, const DecodeLimits& limits = {});

// Keyword (1-79 ASCII characters when writing) -> UTF-8 text.
using TextChunks = std::map<std::string, std::string>;

// ASCII text becomes tEXt (which every tool reads), other text iTXt in UTF-8; empty text is left
// out.
Bytes encode_png(const Image& image, const TextChunks& text = {});

// All tEXt, zTXt and iTXt of a PNG as UTF-8. Error kBadInput if it is no PNG.
TextChunks read_png_text(std::span<const uint8_t> bytes);

struct WebpOptions {
  bool lossless = false;
  float quality = 90;  // 0..100; with lossless the effort
};
Bytes encode_webp(const Image& image, const WebpOptions& options = {});

// Colours at full resolution, for saturated edges bleed otherwise. Alpha is left out.
struct JpegOptions {
  int quality = 95;  // 1..100
};
Bytes encode_jpeg(const Image& image, const JpegOptions& options = {});

enum class FileFormat { kPng, kJpeg, kWebp };
// By the end of a file's name, in any case: .png, .jpg or .jpeg, .webp; nothing for another one.
std::optional<FileFormat> format_of_name(std::string_view name);
// With the encoders' own qualities; text of JPEG and WebP is in EXIF (image/exif_text.h). Error
// kBadInput for more text than the format holds.
Bytes encode_image(const Image& image, FileFormat format, const TextChunks& text = {});
// The text of a picture, however its format keeps it. Error kBadInput if it is no PNG, JPEG or
// WebP.
TextChunks read_text(std::span<const uint8_t> bytes);

}  // namespace pangu::image
