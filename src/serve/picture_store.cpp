#include "serve/picture_store.h"

#include <algorithm>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "image/image.h"
#include "serve/http.h"

namespace pangu::serve {
namespace {

constexpr size_t kIdDigits = 64;

std::string type_of(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return "image/png";
  if (bytes.starts_with("\xff\xd8")) return "image/jpeg";
  return "image/webp";
}

}  // namespace

bool is_picture_id(std::string_view text) {
  return text.size() == kIdDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

StoredPicture picture_of_bytes(std::string_view bytes, const PictureLimits& limits, WallMs now) {
  const std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  const image::ImageInfo info =
      image::peek_image(data, {.max_side_px = limits.max_side_px, .max_pixels = int64_t{1} << 40});
  if (int64_t{info.width} * info.height > limits.max_pixels) {
    throw HttpError(413, "too_large",
                    "picture: expected at most " + std::to_string(limits.max_pixels) +
                        " pixels, found " + std::to_string(info.width) + "x" +
                        std::to_string(info.height));
  }
  return {sha256_hex(bytes),
          type_of(bytes),
          info.width,
          info.height,
          static_cast<int64_t>(bytes.size()),
          now,
          false};
}

}  // namespace pangu::serve
