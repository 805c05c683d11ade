#include "image/mask.h"

#include <algorithm>

namespace pangu::image {
namespace {

constexpr uint8_t kOpaque = 128, kWhite = 250;

bool is_transparent_somewhere(const Image& picture) {
  for (size_t i = 3; i < picture.pixels.size(); i += 4) {
    if (picture.pixels[i] < 255) return true;
  }
  return false;
}

// False where nothing is opaque.
bool all_opaque_is_white(const Image& picture) {
  bool some = false;
  for (size_t i = 0; i < picture.pixels.size(); i += 4) {
    const uint8_t* pixel = &picture.pixels[i];
    if (pixel[3] < kOpaque) continue;
    if (*std::min_element(pixel, pixel + 3) < kWhite) return false;
    some = true;
  }
  return some;
}

// The RGB picture of `value(pixel, channel)`, of the pixels of an RGBA one.
template <class Value>
Image rgb_of(const Image& picture, const Value& value) {
  Image rgb{picture.width, picture.height, 3, {}};
  rgb.pixels.reserve(picture.pixels.size() / 4 * 3);
  for (size_t i = 0; i < picture.pixels.size(); i += 4) {
    for (size_t c = 0; c < 3; ++c) rgb.pixels.push_back(value(&picture.pixels[i], c));
  }
  return rgb;
}

}  // namespace

Image without_alpha(const Image& picture) {
  if (picture.channels == 3) return picture;
  return rgb_of(picture, [](const uint8_t* pixel, size_t c) { return pixel[c]; });
}

Image alpha_of(const Image& picture) {
  if (picture.channels == 3) return filled(picture.width, picture.height, {});
  return rgb_of(picture, [](const uint8_t* pixel, size_t) { return pixel[3]; });
}

Image mask_of(const Image& picture) {
  if (picture.channels == 3) return picture;
  if (!is_transparent_somewhere(picture)) return without_alpha(picture);
  if (all_opaque_is_white(picture)) return alpha_of(picture);
  return rgb_of(picture,
                [](const uint8_t* pixel, size_t) { return static_cast<uint8_t>(255 - pixel[3]); });
}

}  // namespace pangu::image
