// A picture of one shape in a frame of another: cut, filled up or stretched, as the web UIs'
// "crop and resize", "resize and fill" and "just resize" do.
#pragma once
#include <string>

#include "image/resize.h"

namespace pangu::image {

enum class Fit {
  kCrop,     // the greatest part at the centre that has the frame's shape
  kPad,      // the whole picture at the centre; its outermost pixels are repeated to the frame
  kStretch,  // the whole picture in the frame's shape
};

// Of "crop", "pad" and "stretch". Error kBadInput for other words.
Fit fit_from(const std::string& name);

// Which part of a picture goes to which part of the frame, both in pixels.
struct Placement {
  Box from, to;
  bool operator==(const Placement&) const = default;
};
// REQUIRES: all sizes at least 1, else Error kInternal.
Placement placement_of(int width, int height, int frame_width, int frame_height, Fit fit);

// The picture in a frame of this size. No picture, however thin, needs more memory than itself and
// the frame. Error kInternal for an empty picture or a size below 1.
Image fitted(const Image& picture, int width, int height, Fit fit,
             Filter filter = Filter::kLanczos3);

}  // namespace pangu::image
