// How much fine detail pictures have: the energy of their Fourier coefficients by frequency. Means
// over what a picture could be, which decoders and generators learn to draw, have less of it than
// real pictures; noise has more.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::eval {

// Sums over pictures of the energy of their grey values (0.299 R + 0.587 G + 0.114 B), a mean
// square a pixel, in two bands of frequencies f in cycles a pixel, of any direction.
struct Detail {
  double middle = 0;  // 1/8 <= f < 1/4: lines and edges some pixels wide
  double fine = 0;    // 1/4 <= f, which is half of what a row of pixels can show

  Detail& operator+=(const Detail& other);
};

// images: [B,3,H,W] of any floating type.
Detail detail_of(const at::Tensor& images);

}  // namespace pangu::eval
