// Samplers that step down below the next sigma and come back up with fresh noise.
#include <cmath>

#include "diffusion/samplers/sampler_steps.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion {
namespace {

// One step at a time: `down_to` moves x without noise from sigma to sigma_down, given the guess x0.
template <class DownTo>
Latents ancestral_loop(const Denoiser& D, Latents x, const SigmaList& sigmas,
                       const NoiseSource& noise, const OnStep& on_step,
                       const SamplerOptions& options, double eta, const DownTo& down_to) {
  steps::check(sigmas, options);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    const auto [down, up] = steps::ancestral(sigma, next, eta);
    x = down_to(x, x0, sigma, down);
    if (up > 0.0) x = steps::add_noise(x, noise, {i}, up * options.s_noise);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

Latents euler_down(const Latents& x, const Latents& x0, double sigma, double down) {
  return mix(x0, x, down / sigma);
}

}  // namespace

Latents sample_euler_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                               const NoiseSource& noise, const OnStep& on_step,
                               const SamplerOptions& options) {
  return ancestral_loop(D, std::move(x), sigmas, noise, on_step, options, options.eta.value_or(1.0),
                        euler_down);
}

Latents sample_ddim(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource& noise,
                    const OnStep& on_step, const SamplerOptions& options) {
  return ancestral_loop(D, std::move(x), sigmas, noise, on_step, options, options.eta.value_or(0.0),
                        euler_down);
}

Latents sample_ddpm(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource& noise,
                    const OnStep& on_step, const SamplerOptions& options) {
  return sample_euler_ancestral(D, std::move(x), sigmas, noise, on_step, options);
}

Latents sample_dpm2_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                              const NoiseSource& noise, const OnStep& on_step,
                              const SamplerOptions& options) {
  const steps::Path path(options.variable);
  const auto through_the_middle = [&D, &path](const Latents& x, const Latents& x0, double sigma,
                                              double down) {
    return down == 0.0 ? x0 : steps::midpoint_step(D, path, x, x0, sigma, down);
  };
  return ancestral_loop(D, std::move(x), sigmas, noise, on_step, options, options.eta.value_or(1.0),
                        through_the_middle);
}

Latents sample_dpmpp_2s_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                                  const NoiseSource& noise, const OnStep& on_step,
                                  const SamplerOptions& options) {
  const auto through_the_middle = [&D](const Latents& x, const Latents& x0, double sigma,
                                       double down) {
    if (down == 0.0) return x0;
    const double middle = std::sqrt(sigma * down);
    return mix(D(mix(x0, x, middle / sigma), middle), x, down / sigma);
  };
  return ancestral_loop(D, std::move(x), sigmas, noise, on_step, options, options.eta.value_or(1.0),
                        through_the_middle);
}

Latents sample_lcm(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource& noise,
                   const OnStep& on_step, const SamplerOptions& options) {
  steps::check(sigmas, options);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    x = next == 0.0 ? x0 : steps::add_noise(x0, noise, {i}, next * options.s_noise);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

std::vector<Sampler> steps::ancestral_samplers() {
  using enum TimestepRule;
  return {
      {.name = "euler_a",
       .web_name = "Euler a",
       .other_names = {"euler_ancestral", "EulerAncestralDiscreteScheduler"},
       .summary = "first order with fresh noise at every step",
       .run = sample_euler_ancestral,
       .needs_noise = true,
       .takes_eta = true},
      {.name = "dpm2_a",
       .web_name = "DPM2 a",
       .other_names = {"dpm_2_ancestral", "KDPM2AncestralDiscreteScheduler"},
       .summary = "dpm2 with fresh noise at every step",
       .run = sample_dpm2_ancestral,
       .calls_per_step = 2,
       .needs_noise = true,
       .takes_eta = true},
      {.name = "dpmpp_2s_a",
       .web_name = "DPM++ 2S a",
       .other_names = {"dpmpp_2s_ancestral"},
       .summary = "second order in one step, two network calls, fresh noise",
       .run = sample_dpmpp_2s_ancestral,
       .calls_per_step = 2,
       .needs_noise = true,
       .takes_eta = true,
       .timestep_rule = kDpmSolver},
      {.name = "ddim",
       .web_name = "DDIM",
       .other_names = {"DDIMScheduler"},
       .summary = "euler unless eta is given",
       .run = sample_ddim,
       .takes_eta = true,
       .timestep_rule = kDdim,
       .ends_as_configured = true},
      {.name = "ddpm",
       .other_names = {"DDPMScheduler"},
       .summary = "the posterior of every step, as in training",
       .run = sample_ddpm,
       .needs_noise = true,
       .takes_eta = true,
       .timestep_rule = kDdim},
      {.name = "lcm",
       .web_name = "LCM",
       .other_names = {"LCMScheduler"},
       .summary = "for consistency models, 1 to 8 steps",
       .run = sample_lcm,
       .needs_noise = true,
       .timestep_rule = kDdim,
       .consistency = true},
  };
}

}  // namespace pangu::diffusion
