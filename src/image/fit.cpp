#include "image/fit.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace pangu::image {
namespace {

// `size` scaled by to / from, at least 1 and at most `most`.
int scaled_within(int size, int64_t to, int64_t from, int most) {
  const double exact = static_cast<double>(size) * static_cast<double>(to) / double(from);
  return static_cast<int>(std::clamp<int64_t>(std::llround(exact), 1, most));
}

Box centred(int width, int height, int part_width, int part_height) {
  return {(width - part_width) / 2, (height - part_height) / 2, part_width, part_height};
}

// A frame around `inner`, which lies at `at`, with the outermost pixels of `inner` repeated.
Image framed(const Image& inner, int width, int height, const Box& at) {
  Image out{width, height, inner.channels, {}};
  out.pixels.resize(static_cast<size_t>(width) * height * inner.channels);
  for (int y = 0; y < height; ++y) {
    const int from_y = std::clamp(y - at.y, 0, inner.height - 1);
    for (int x = 0; x < width; ++x) {
      const uint8_t* from = inner.at(std::clamp(x - at.x, 0, inner.width - 1), from_y);
      std::copy(from, from + inner.channels, out.at(x, y));
    }
  }
  return out;
}

}  // namespace

Fit fit_from(const std::string& name) {
  if (name == "crop") return Fit::kCrop;
  if (name == "pad") return Fit::kPad;
  if (name == "stretch") return Fit::kStretch;
  throw bad_input("resize mode", "crop, pad or stretch", "'" + name + "'");
}

Placement placement_of(int width, int height, int frame_width, int frame_height, Fit fit) {
  if (std::min({width, height, frame_width, frame_height}) < 1) {
    throw Error(ErrorCode::kInternal, "a picture or a frame of no size");
  }
  Placement place{{0, 0, width, height}, {0, 0, frame_width, frame_height}};
  if (fit == Fit::kCrop) {
    place.from = centred(width, height, scaled_within(height, frame_width, frame_height, width),
                         scaled_within(width, frame_height, frame_width, height));
  } else if (fit == Fit::kPad) {
    place.to =
        centred(frame_width, frame_height, scaled_within(frame_height, width, height, frame_width),
                scaled_within(frame_width, height, width, frame_height));
  }
  return place;
}

Image fitted(const Image& picture, int width, int height, Fit fit, Filter filter) {
  const auto [from, to] = placement_of(picture.width, picture.height, width, height, fit);
  const Image part = from == Box{0, 0, picture.width, picture.height}
                         ? picture
                         : crop(picture, from.x, from.y, from.width, from.height);
  const Image inner = resize(part, to.width, to.height, filter);
  return to == Box{0, 0, width, height} ? inner : framed(inner, width, height, to);
}

}  // namespace pangu::image
