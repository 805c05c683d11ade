// Random masks for the training of networks that fill masks: rectangles or free strokes, as LaMa's
// thick masks are drawn (Suvorov et al. 2022, arXiv 2109.07161), which Stable Diffusion 2's
// inpainting model was trained with. Sizes are shares of the picture's shorter side.
#pragma once
#include <cstdint>
#include <vector>

#include "core/rng.h"

namespace pangu::image {

// One byte a pixel, rows from the top: 1 is drawn anew, 0 stays.
struct Mask {
  int width = 0, height = 0;
  std::vector<uint8_t> pixels;
  bool operator==(const Mask&) const = default;
};

// One to four rectangles or, as often, one to five strokes of one to five straight segments. At
// least one pixel is drawn anew. The same numbers of `rng_` give the same mask on every machine.
// REQUIRES: both sides >= 1, else Error kInternal.
Mask random_mask(int width, int height, Rng& rng_);

// Draws anew what is at most brush_px / 2 away from the straight line between two pixels.
void draw_segment(Mask& mask_, int from_x, int from_y, int to_x, int to_y, int brush_px);

}  // namespace pangu::image
