// The state that a sampler moves: one tensor, or a tuple of tensors (one per latent space) that
// several models denoise together. It is not a container of anything else: no names, no noise
// level.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

namespace pangu::diffusion {

// Part k is [B,C_k,H_k,W_k], the latent of space k in the VE scale (x = x0 + sigma * eps). Copies
// share storage; no function of this room writes into a part.
struct Latents {
  std::vector<at::Tensor> parts;

  Latents() = default;
  Latents(at::Tensor one);  // implicit: a tensor is a tuple of one
  explicit Latents(std::vector<at::Tensor> several) : parts(std::move(several)) {}

  size_t size() const { return parts.size(); }
  const at::Tensor& operator[](size_t space) const { return parts[space]; }
  // Returns the tensor of a tuple of one; throws kInternal for any other size.
  const at::Tensor& one() const;

  // These operators work part by part. Both sides must have the same number of parts (kInternal
  // error otherwise). The scalar is a double; the parts keep their dtype. They are friends so that
  // a plain tensor's own operators stay unambiguous with the implicit constructor.
  friend Latents operator+(const Latents& a, const Latents& b);
  friend Latents operator-(const Latents& a, const Latents& b);
  friend Latents operator*(const Latents& a, double scale);
  friend Latents operator*(double scale, const Latents& a) { return a * scale; }
};

// Returns a + (b - a) * weight, computed as a * (1 - weight) + b * weight: exact at weight 0 and 1.
Latents mix(const Latents& a, const Latents& b, double weight);

}  // namespace pangu::diffusion
