// Decoders of single formats, for decode_image alone. Each checks the limits from the header first.
#pragma once
#include "image/image.h"

namespace pangu::image {

Image decode_png(std::span<const uint8_t> bytes, const DecodeLimits& limits);
Image decode_jpeg(std::span<const uint8_t> bytes, const DecodeLimits& limits);
Image decode_webp(std::span<const uint8_t> bytes, const DecodeLimits& limits);

ImageInfo peek_png(std::span<const uint8_t> bytes, const DecodeLimits& limits);
ImageInfo peek_jpeg(std::span<const uint8_t> bytes, const DecodeLimits& limits);
ImageInfo peek_webp(std::span<const uint8_t> bytes, const DecodeLimits& limits);

// Error kBadInput if a picture of this size is above the limits.
void check_limits(const char* format, int64_t width, int64_t height, const DecodeLimits& limits);

// Error kInternal unless the image is well-formed; encoders call it first.
void check_encodable(const Image& image);

}  // namespace pangu::image
