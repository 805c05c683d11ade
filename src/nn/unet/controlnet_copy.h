// How a ControlNet begins that is made for a UNet (Zhang et al. 2023): as a copy of its downward
// half, behind convolutions of zeros.
#pragma once
#include "nn/unet/controlnet.h"
#include "nn/unet/unet.h"

namespace pangu::nn {

// Gives every weight of `control` that has one of the same name in `unet` its value, and zeros to
// the last convolution of what reads the picture and to those of the residuals: the UNet's output
// does not change at first. The other weights, which read the picture, stay as they are. Throws
// kBadInput naming a tensor of the two that differs in shape. REQUIRES: the configurations of the
// downward halves are equal.
void begin_as_copy(ControlNetModel& control, const UNet2DConditionModel& unet);

}  // namespace pangu::nn
