// The conditions that a denoiser gets in addition to the noisy latent and the time: a set of
// tensors with one row for every row of the batch, the same in drawing and in training. It knows no
// network and no text encoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pangu::diffusion {

// An undefined tensor means that there is no such condition.
struct Conditions {
  at::Tensor context;         // [R,L,D], token states
  at::Tensor context_mask;    // [R,L] bool, true where a token counts; undefined: all count
  at::Tensor pooled;          // [R,P], the text as a whole (SDXL)
  at::Tensor size_numbers;    // [R,K] f32: sizes and crops (SDXL), or size index (PanGu-Draw 3)
  at::Tensor guidance;        // [R] f32, scale of guidance that the network imitates (LCM)
  at::Tensor extra_channels;  // [R,E,h,w], input channels behind the latent's (inpainting, control)
  at::Tensor pictures;        // [R,3,S,S], for networks that embed a picture themselves
  // [R,L,E] i64, ids for E text encoders that are trained along, in place of context and pooled
  at::Tensor token_ids;

  // Returns the rows of these numbers, in this order; a row may come several times.
  Conditions rows(const std::vector<int64_t>& numbers) const;
  // Returns the tensors on a device, in `dtype` but for four: the mask stays bool, ids stay whole
  // numbers, and the size numbers and guidance stay f32, because a half-precision type cannot hold
  // a width of 1025 pixels.
  Conditions to(const at::Device& device, at::ScalarType dtype) const;
};

// Joins several values of equal shapes: row r of value i becomes row r * count + i of the result.
Conditions interleaved(const std::vector<Conditions>& each);

}  // namespace pangu::diffusion
