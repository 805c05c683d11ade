// WebP by libwebp: still pictures only.
#include <webp/decode.h>
#include <webp/encode.h>

#include "core/error.h"
#include "image/codecs.h"
#include "image/exif.h"

namespace pangu::image {
namespace {

// Frees what libwebp allocated inside a picture and a writer, whatever happens.
struct Encoding {
  WebPPicture picture;
  WebPMemoryWriter writer;
  Encoding() {
    if (!WebPPictureInit(&picture))
      throw Error(ErrorCode::kUnavailable, "libwebp version mismatch");
    WebPMemoryWriterInit(&writer);
  }
  ~Encoding() {
    WebPPictureFree(&picture);
    WebPMemoryWriterClear(&writer);
  }
  Encoding(const Encoding&) = delete;
  Encoding& operator=(const Encoding&) = delete;
};

// As stored, before it is turned upright.
ImageInfo stored_info(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(bytes.data(), bytes.size(), &features) != VP8_STATUS_OK) {
    throw bad_input("WebP, header", "a complete one", "damaged or cut data");
  }
  if (features.has_animation) throw bad_input("WebP", "a still picture", "an animation");
  check_limits("WebP", features.width, features.height, limits);
  return {features.width, features.height, features.has_alpha != 0};
}

}  // namespace

ImageInfo peek_webp(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  return upright_info(stored_info(bytes, limits), orientation_of_webp(bytes));
}

Image decode_webp(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  const ImageInfo info = stored_info(bytes, limits);
  Image image{info.width, info.height, info.has_alpha ? 4 : 3, {}};
  const int stride = image.width * image.channels;
  image.pixels.resize(static_cast<size_t>(stride) * image.height);
  const auto decode = info.has_alpha ? &WebPDecodeRGBAInto : &WebPDecodeRGBInto;
  if (!decode(bytes.data(), bytes.size(), image.pixels.data(), image.pixels.size(), stride)) {
    throw bad_input("WebP, pixels", "complete data", "damaged or cut data");
  }
  return upright(image, orientation_of_webp(bytes));
}

Bytes encode_webp(const Image& image, const WebpOptions& options) {
  check_encodable(image);
  if (image.width > WEBP_MAX_DIMENSION || image.height > WEBP_MAX_DIMENSION) {
    throw bad_input("WebP", "at most " + std::to_string(WEBP_MAX_DIMENSION) + " px a side",
                    std::to_string(image.width) + "x" + std::to_string(image.height));
  }
  WebPConfig config;
  if (!WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, options.quality)) {
    throw bad_input("WebP quality", "0 to 100", std::to_string(options.quality));
  }
  config.lossless = options.lossless;
  config.use_sharp_yuv = 1;  // saturated flat colours bleed at half colour resolution otherwise
  Encoding encoding;
  encoding.picture.width = image.width;
  encoding.picture.height = image.height;
  encoding.picture.use_argb = 1;
  encoding.picture.writer = &WebPMemoryWrite;
  encoding.picture.custom_ptr = &encoding.writer;
  const auto import = image.channels == 4 ? &WebPPictureImportRGBA : &WebPPictureImportRGB;
  const int stride = image.width * image.channels;
  if (!import(&encoding.picture, image.pixels.data(), stride) ||
      !WebPEncode(&config, &encoding.picture)) {
    throw Error(ErrorCode::kUnavailable,
                "WebP encoding failed with libwebp code " +
                    std::to_string(static_cast<int>(encoding.picture.error_code)));
  }
  return {encoding.writer.mem, encoding.writer.mem + encoding.writer.size};
}

}  // namespace pangu::image
