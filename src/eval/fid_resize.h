// How a picture becomes the 299 pixels of the FID network. Tools differ, and so do their scores:
// FIDs are only comparable at the same convention (Parmar, Zhang and Zhu, "On Aliased Resizing and
// Surprising Subtleties in GAN Evaluation", CVPR 2022).
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "image/image.h"

namespace pangu::eval {

enum class FidResize {
  kTensorflow,  // bilinear without antialiasing, pixels at their corners: torch-fidelity, TTUR
  kClean,       // bicubic with antialiasing as PIL's, in floats: clean-fid
  kPytorch,     // bilinear without antialiasing, pixels at their centres: pytorch-fid
};
const char* name_of(FidResize resize);  // "torch-fidelity", "clean-fid", "pytorch-fid"
// What the convention does, for people.
std::string description_of(FidResize resize);
// Error kBadInput, which names the flag `what`, for another name.
FidResize fid_resize_of(const std::string& name, const std::string& what);

// Returns [1,3,299,299] f32, RGB in about [-1,1]. Transparency is ignored, as all of these tools
// do.
at::Tensor fid_pixels(const image::Image& picture, FidResize resize);

}  // namespace pangu::eval
