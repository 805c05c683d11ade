// Pictures of bytes <-> pictures of floats, one conversion each way. It knows neither model nor
// size; resizing is image/resize.h.
#pragma once
#include <ATen/core/Tensor.h>

#include "image/image.h"

namespace pangu::tensors {

// [H,W,C] u8: a copy of the bytes as they are.
at::Tensor levels_of(const image::Image& picture);

// [1,3,H,W] f32, 0..255 mapped linearly to low..high; transparency is laid over white.
at::Tensor pixels_of(const image::Image& picture, double low, double high);

// How a level between two bytes becomes one.
enum class Levels {
  kRounded,  // to the nearest, halves to even
  kCut,      // to the lower one
};

// The inverse for one picture [3,H,W] in [-1,1], of any floating type and device: clipped, then
// rounded or cut.
image::Image picture_of(const at::Tensor& chw, Levels levels = Levels::kRounded);

}  // namespace pangu::tensors
