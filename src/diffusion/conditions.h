// What a denoiser is told beside the noisy latent and the time: a bag of tensors, one row for every
// row of the batch, the same for drawing and for training. It knows no network and no text encoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pangu::diffusion {

// An undefined tensor means that the network is told nothing of the kind.
struct Conditions {
  at::Tensor context;       // [R,L,D], token states
  at::Tensor context_mask;  // [R,L] bool, true where a token counts; undefined: all count
  at::Tensor pooled;        // [R,P], the text as a whole (SDXL)
  at::Tensor
      size_numbers;     // [R,K] f32, sizes and crops (SDXL), an index of the size (PanGu-Draw 3)
  at::Tensor guidance;  // [R] f32, scale of guidance that the network imitates (LCM)
  at::Tensor extra_channels;  // [R,E,h,w], input channels behind the latent's (inpainting, control)
  at::Tensor pictures;        // [R,3,S,S], of networks that embed a picture themselves

  // The rows of these numbers, in this order; a row may come several times.
  Conditions rows(const std::vector<int64_t>& numbers) const;
  // All tensors on a device, those of numbers of reals in `dtype`. The mask stays bool and the size
  // numbers and guidance f32: a half-precision type cannot hold a width of 1025 pixels.
  Conditions to(const at::Device& device, at::ScalarType dtype) const;
};

// Several values of equal shapes as one: row r of value i becomes row r * count + i.
Conditions interleaved(const std::vector<Conditions>& each);

}  // namespace pangu::diffusion
