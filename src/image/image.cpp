// Pictures as values, and the door to the decoders. The formats themselves are in codec_*.cpp.
#include "image/image.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "image/codecs.h"
#include "image/exif_text.h"

namespace pangu::image {
namespace {

bool begins_with(std::span<const uint8_t> bytes, size_t offset, const char* text, size_t length) {
  return bytes.size() >= offset + length && std::memcmp(bytes.data() + offset, text, length) == 0;
}

FileFormat format_of(std::span<const uint8_t> bytes) {
  if (begins_with(bytes, 0, "\x89PNG\r\n\x1a\n", 8)) return FileFormat::kPng;
  if (begins_with(bytes, 0, "\xff\xd8\xff", 3)) return FileFormat::kJpeg;
  if (begins_with(bytes, 0, "RIFF", 4) && begins_with(bytes, 8, "WEBP", 4))
    return FileFormat::kWebp;
  throw bad_input("picture", "PNG, JPEG or WebP",
                  bytes.empty() ? "no bytes" : "bytes of another format");
}

Bytes read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) throw io_error("cannot open", path, errno);
  Bytes bytes;
  uint8_t piece[1 << 16];
  size_t count = 0;
  while ((count = std::fread(piece, 1, sizeof piece, file.get())) > 0) {
    bytes.insert(bytes.end(), piece, piece + count);
  }
  if (std::ferror(file.get())) throw io_error("cannot read", path, errno);
  return bytes;
}

}  // namespace

uint8_t* Image::at(int x, int y) {
  return pixels.data() + (static_cast<size_t>(y) * width + x) * channels;
}

const uint8_t* Image::at(int x, int y) const {
  return pixels.data() + (static_cast<size_t>(y) * width + x) * channels;
}

Image filled(int width, int height, Color color, int channels) {
  Image image{width, height, channels, {}};
  image.pixels.resize(static_cast<size_t>(width) * height * channels, 255);
  for (size_t i = 0; i < image.pixels.size(); i += channels) {
    image.pixels[i] = color.r;
    image.pixels[i + 1] = color.g;
    image.pixels[i + 2] = color.b;
  }
  return image;
}

void check_limits(const char* format, int64_t width, int64_t height, const DecodeLimits& limits) {
  const std::string found = std::to_string(width) + "x" + std::to_string(height);
  if (width < 1 || height < 1) throw bad_input(format, "a picture of at least 1x1", found);
  if (width > limits.max_side_px || height > limits.max_side_px ||
      width * height > limits.max_pixels) {
    throw bad_input(format,
                    "at most " + std::to_string(limits.max_side_px) + " px a side and " +
                        std::to_string(limits.max_pixels) + " px in all",
                    found);
  }
}

void check_encodable(const Image& image) {
  const bool channels = image.channels == 3 || image.channels == 4;
  if (!channels || image.width < 1 || image.height < 1 ||
      image.pixels.size() != static_cast<size_t>(image.width) * image.height * image.channels) {
    throw Error(ErrorCode::kInternal, "an image to encode must be RGB or RGBA and not empty");
  }
}

Image decode_image(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  switch (format_of(bytes)) {
    case FileFormat::kPng:
      return decode_png(bytes, limits);
    case FileFormat::kJpeg:
      return decode_jpeg(bytes, limits);
    case FileFormat::kWebp:
      return decode_webp(bytes, limits);
  }
  throw Error(ErrorCode::kInternal, "unreachable format");
}

ImageInfo peek_image(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  switch (format_of(bytes)) {
    case FileFormat::kPng:
      return peek_png(bytes, limits);
    case FileFormat::kJpeg:
      return peek_jpeg(bytes, limits);
    case FileFormat::kWebp:
      return peek_webp(bytes, limits);
  }
  throw Error(ErrorCode::kInternal, "unreachable format");
}

std::optional<FileFormat> format_of_name(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string end(name.substr(dot + 1));
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (end == "png") return FileFormat::kPng;
  if (end == "jpg" || end == "jpeg") return FileFormat::kJpeg;
  if (end == "webp") return FileFormat::kWebp;
  return {};
}

Bytes encode_image(const Image& image, FileFormat format, const TextChunks& text) {
  switch (format) {
    case FileFormat::kPng:
      return encode_png(image, text);
    case FileFormat::kJpeg:
      return jpeg_with_exif(encode_jpeg(image), exif_of_text(text));
    case FileFormat::kWebp:
      return webp_with_exif(encode_webp(image), exif_of_text(text), image.width, image.height);
  }
  throw Error(ErrorCode::kInternal, "unreachable format");
}

TextChunks read_text(std::span<const uint8_t> bytes) {
  switch (format_of(bytes)) {
    case FileFormat::kPng:
      return read_png_text(bytes);
    case FileFormat::kJpeg:
      return text_of_exif(exif_of_jpeg(bytes));
    case FileFormat::kWebp:
      return text_of_exif(exif_of_webp(bytes));
  }
  throw Error(ErrorCode::kInternal, "unreachable format");
}

Image read_image(const std::string& path, const DecodeLimits& limits) {
  const Bytes bytes = read_file(path);
  try {
    return decode_image(bytes, limits);
  } catch (const Error& error) {
    throw while_doing("reading '" + path + "'", error);
  }
}

}  // namespace pangu::image
