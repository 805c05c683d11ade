// Noise of drawing: one stream per image, made on the host, so that a seed gives the same image at
// any batch size, in any place of the batch and on any device. Pure functions: a draw is named by
// its seed, its latent space and its step, never by how many draws came before. Numbers from
// core/rng.h (Philox).
#pragma once
#include <cstdint>
#include <vector>

#include "diffusion/samplers.h"

namespace pangu::diffusion {

// Standard normals [B,shape...] f32 on the host, B = seeds.size(). space: which part of a tuple.
at::Tensor image_noise(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& shape_chw,
                       uint64_t space = 0);
// The same for the step from sigma to sigma_next: other numbers for every (sigma, sigma_next).
at::Tensor image_step_noise(const std::vector<uint64_t>& seeds,
                            const std::vector<int64_t>& shape_chw, double sigma, double sigma_next,
                            uint64_t space = 0);

// A noise source for stochastic samplers, in the shapes, dtypes and devices of `like`, whose batch
// must be seeds.size() (kInternal error otherwise).
NoiseSource step_noise(std::vector<uint64_t> seeds, const Latents& like);

}  // namespace pangu::diffusion
