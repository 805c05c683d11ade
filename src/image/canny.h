// Canny's edge detector: a picture in, its edges white on black out, as the ControlNets for edges
// were trained with. Not a soft edge map (nn/features/hed.h is one).
// Method: Canny 1986, in the discrete form of OpenCV's documentation: Sobel 3x3, four directions,
// two thresholds; a pixel where OpenCV has one (tests/parity/canny_test.cpp).
#pragma once
#include "image/image.h"

namespace pangu::image {

struct CannyOptions {
  // Of the gradient's magnitude, in units of the 8-bit Sobel sums (0..2040 for one direction).
  double low_threshold = 100;   // an edge goes on above this
  double high_threshold = 200;  // and needs one pixel above this
  bool l2_gradient = false;     // magnitude sqrt(dx^2 + dy^2) instead of |dx| + |dy|
};

// RGB of the same size, every pixel 0 or 255. Colour pictures: each pixel takes the gradient of the
// channel where it is greatest. Transparency is laid over white. Outside, the picture continues as
// its border. Error kBadInput for a threshold that is negative, not finite, or low above high;
// kInternal for an empty picture.
Image canny(const Image& picture, const CannyOptions& options = {});

}  // namespace pangu::image
