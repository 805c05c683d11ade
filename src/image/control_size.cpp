#include "image/control_size.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "image/fit.h"

namespace pangu::image {
namespace {

// `size` scaled by to / from, at least 1 and at most `most`.
int scaled(int size, int64_t to, int64_t from, int64_t most) {
  const double exact = static_cast<double>(size) * static_cast<double>(to) / double(from);
  return static_cast<int>(std::clamp<int64_t>(std::llround(exact), 1, most));
}

}  // namespace

Image cut_to(const Image& picture, int width, int height, Filter filter) {
  if (picture.empty() || width < 1 || height < 1) {
    throw Error(ErrorCode::kInternal, "cut of or to an empty picture");
  }
  return fitted(picture, width, height, Fit::kCrop, filter);
}

std::pair<int, int> detect_size(int width, int height, int resolution) {
  const int64_t most = int64_t{kLongest} * resolution;
  if (width < height) return {resolution, scaled(height, resolution, width, most)};
  return {scaled(width, resolution, height, most), resolution};
}

}  // namespace pangu::image
