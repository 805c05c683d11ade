// Samplers: short functions of (D, x, sigmas) that know nothing of networks, guidance or experts
// and work on tuples of latents as they are. Sources: Euler, Heun and ancestral steps, Karras et
// al. 2022 and k-diffusion; DPM-Solver++(2M), Lu et al. 2022.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {

// Standard normal latents for the step from sigma to sigma_next; one stream per image
// (image_noise.h).
using NoiseSource = std::function<Latents(double sigma, double sigma_next)>;

struct StepInfo {
  size_t step;  // 0-based, the step just done
  size_t step_count;
  double sigma, sigma_next;
  const Latents& x;   // after the step, at sigma_next
  const Latents& x0;  // the step's guess of the clean latent, for previews
};
// Called after every step; false stops the sampling.
using OnStep = std::function<bool(const StepInfo&)>;

// x: noisy latents at sigmas.front(), VE scale (pure noise times sigmas.front() to begin with).
// sigmas: strictly decreasing, 2 values at least, the last 0 or more (kBadInput otherwise). Returns
// the latents at sigmas.back(), or, if on_step said stop, those of the step just done. D is never
// called at 0. The same call gives the same result: no state survives it.
Latents sample_euler(const Denoiser& D, Latents x, const SigmaList& sigmas,
                     const NoiseSource& noise = {}, const OnStep& on_step = {});
// eta = 1. Needs noise (kInternal error without).
Latents sample_euler_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                               const NoiseSource& noise, const OnStep& on_step = {});
// Two calls of D a step, but one in the step to sigma 0.
Latents sample_heun(const Denoiser& D, Latents x, const SigmaList& sigmas,
                    const NoiseSource& noise = {}, const OnStep& on_step = {});
Latents sample_dpmpp_2m(const Denoiser& D, Latents x, const SigmaList& sigmas,
                        const NoiseSource& noise = {}, const OnStep& on_step = {});

struct Sampler {
  std::string name;  // as web UIs and configs say it
  std::string summary;
  Latents (*sample)(const Denoiser&, Latents, const SigmaList&, const NoiseSource&, const OnStep&);
  int calls_per_step;
  bool needs_noise;
};
// "euler", "euler_a", "heun", "dpmpp_2m".
const std::vector<Sampler>& samplers();
// kBadInput lists the names.
const Sampler& find_sampler(const std::string& name);

}  // namespace pangu::diffusion
