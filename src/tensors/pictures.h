// Conversions between 8-bit pictures and tensors, one each way. It knows no model, and it resizes
// nothing (image/resize.h does).
#pragma once
#include <ATen/core/Tensor.h>

#include "image/image.h"

namespace pangu::tensors {

// Returns [H,W,C] u8, a copy of the bytes as they are.
at::Tensor levels_of(const image::Image& picture);

// Returns [1,3,H,W] f32, with 0..255 mapped linearly to low..high; transparency is laid over white.
at::Tensor pixels_of(const image::Image& picture, double low, double high);

// How a value between two byte values becomes one of them.
enum class Levels {
  kRounded,  // to the nearest, halves to even
  kCut,      // to the lower one
};

// The inverse of pixels_of for one picture [3,H,W] in [-1,1], of any floating type and on any
// device. Values are clipped, then rounded or cut.
image::Image picture_of(const at::Tensor& chw, Levels levels = Levels::kRounded);

}  // namespace pangu::tensors
