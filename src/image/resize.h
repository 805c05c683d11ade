// Geometry of pictures: resize, crop, flip, laying one over another. Pure functions, except paste.
// Colours are mixed as stored (sRGB values, as Pillow does); alpha is multiplied in while mixing.
#pragma once
#include <vector>

#include "image/image.h"

namespace pangu::image {

enum class Filter {
  kNearest,   // picks one pixel
  kBox,       // exact area mean when shrinking by a whole factor
  kBilinear,  // triangle
  kBicubic,   // Keys' cubic with a = -0.5
  kLanczos3,  // windowed sinc of three lobes: the sharpest
};

// Separable resampling. When shrinking, the filter is stretched to cover the area of the new pixel,
// so nothing aliases. REQUIRES: both sizes >= 1, else Error kInternal.
Image resize(const Image& image, int width, int height, Filter filter = Filter::kLanczos3);

// The weights of one axis, row-major [new_size, old_size]: every new pixel as a mean of old ones,
// for pixels that are no bytes. REQUIRES: both sizes >= 1.
std::vector<float> resampling_matrix(Filter filter, int old_size, int new_size);

// The part [x, x+width) x [y, y+height), which must lie inside, else Error kInternal.
Image crop(const Image& image, int x, int y, int width, int height);

Image flip_horizontal(const Image& image);

// RGB: transparent parts show `background`. An RGB picture comes back as it is.
Image composite_over(const Image& image, Color background = {});

// A rectangle in pixels, y down.
struct Box {
  int x = 0, y = 0, width = 0, height = 0;
  bool operator==(const Box&) const = default;
};

// Lays `picture`, resized to the box, over `canvas_` (RGB or RGBA) with its alpha; parts that fall
// outside are cut off.
void paste(Image& canvas_, const Image& picture, const Box& box, Filter filter = Filter::kLanczos3);

// The smallest box that holds all pixels of alpha > threshold; the whole picture if it is RGB,
// an empty box if all is transparent.
Box alpha_bounds(const Image& image, int threshold = 8);

// Scaled so that it covers width x height, then cut to it at the centre.
Image cover(const Image& image, int width, int height, Filter filter = Filter::kLanczos3);

// Scaled so that it fits inside width x height, centred on `background`; RGB.
Image contain(const Image& image, int width, int height, Color background = {},
              Filter filter = Filter::kLanczos3);

}  // namespace pangu::image
