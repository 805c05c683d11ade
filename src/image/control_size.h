// Sizes of control images: what part of a picture one is of, and at what size a detector looks.
// General geometry is in image/resize.h.
#pragma once
#include <utility>

#include "image/resize.h"

namespace pangu::image {

// The greatest part at the centre that has the shape of width x height, resized to that. As `cover`
// of image/resize.h, but no picture, however thin, needs more memory than itself and the result.
// Error kInternal for an empty picture or a size below 1.
Image cut_to(const Image& picture, int width, int height, Filter filter = Filter::kLanczos3);

// Width and height whose shorter side is `resolution`, of the shape of width x height; what is
// longer than kLongest times the shorter side is squeezed to that. REQUIRES: all at least 1.
inline constexpr int kLongest = 4;
std::pair<int, int> detect_size(int width, int height, int resolution);

}  // namespace pangu::image
