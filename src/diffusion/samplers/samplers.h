// Samplers: short functions of (D, x, sigmas) that know nothing of networks, guidance or experts
// and work on tuples of latents as they are. Names and definitions are those of k-diffusion and the
// web UIs; where diffusers differs, the comment of the sampler says so. Sources: Euler, Heun,
// Karras et al. 2022; DPM2, DPM-Solver-2 of Lu et al. 2022a in Karras' variables; DPM++ 2S, 2M, Lu
// et al. 2022b; DPM++ SDE, 2M SDE, 3M SDE, the same solvers on the reverse SDE (k-diffusion,
// Crowson); LMS, Adams-Bashforth on the slopes (k-diffusion); DDIM, Song et al. 2021; DDPM, Ho et
// al. 2020; UniPC, Zhao et al. 2023; LCM, Luo et al. 2023.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {

// Names one draw of noise that a sampler needs. A sampler makes every draw once, from most noise to
// least, so a source may give independent noise for each, as a pure function of the draw.
struct NoiseDraw {
  size_t step = 0;  // number of the step in the sampler's list, from 0
  int part = 0;     // 0: the whole step or its first half; 1: its second half
};
// Standard normal latents; one stream per image (image_noise.h).
using NoiseSource = std::function<Latents(const NoiseDraw& draw)>;

struct StepInfo {
  size_t step;  // 0-based, the step just done
  size_t step_count;
  double sigma, sigma_next;
  const Latents& x;   // after the step, at sigma_next
  const Latents& x0;  // the step's first guess of the clean latent, for previews
};
// Called after every step; false stops the sampling.
using OnStep = std::function<bool(const StepInfo&)>;

struct SamplerOptions {
  // The share of the exact posterior's noise that a step adds: 0 gives the deterministic sampler.
  // Unset: the sampler's own default, 1, or 0 for ddim. Deterministic samplers and lcm ignore it.
  std::optional<double> eta = {};
  double s_noise = 1.0;           // factor of the noise that is added in a step
  std::optional<int> order = {};  // 1 to Sampler::most_order; unset: 4 for lms, 2 for unipc
  // The path_variable() of the schedule that the levels come from.
  PathVariable variable = PathVariable::kSigma;
  // Throws kBadInput if eta or s_noise is negative or not finite.
  void validate() const;
  bool operator==(const SamplerOptions&) const = default;
};

// What all samplers have in common. x: noisy latents at sigmas.front() in the VE scale (at the
// start of a drawing, pure noise times sigmas.front()). sigmas: strictly decreasing, at least 2
// values, the last 0 or more (kBadInput otherwise). Returns the latents at sigmas.back(), or, if
// on_step returned false, those after the step just done. D is never called at 0. The same call
// gives the same result: no state survives it. A step that adds noise needs a noise source
// (kInternal error without one).

// Steps by x <- x0 + (next / sigma) (x - x0), the straight line of the probability flow.
Latents sample_euler(const Denoiser& D, Latents x, const SigmaList& sigmas,
                     const NoiseSource& noise = {}, const OnStep& on_step = {},
                     const SamplerOptions& options = {});
// Steps by the mean of the slopes at both ends (the trapezoidal rule) in options.variable. It calls
// D twice a step, but once in the step to sigma 0.
Latents sample_heun(const Denoiser& D, Latents x, const SigmaList& sigmas,
                    const NoiseSource& noise = {}, const OnStep& on_step = {},
                    const SamplerOptions& options = {});
// Steps by the slope at the geometric middle sqrt(sigma next), or at sqrt(s s_next) in a flow's
// time. It calls D as often as heun.
Latents sample_dpm2(const Denoiser& D, Latents x, const SigmaList& sigmas,
                    const NoiseSource& noise = {}, const OnStep& on_step = {},
                    const SamplerOptions& options = {});

// The ancestral samplers step down to sigma_down without noise and come up to `next` with fresh
// noise: sigma_up = min(next, eta next sqrt(1 - next^2 / sigma^2)), sigma_down^2 + sigma_up^2 =
// next^2. With eta 1 that is the exact posterior q(x_next | x, x0).
Latents sample_euler_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                               const NoiseSource& noise, const OnStep& on_step = {},
                               const SamplerOptions& options = {});
Latents sample_dpm2_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                              const NoiseSource& noise, const OnStep& on_step = {},
                              const SamplerOptions& options = {});
// Makes a second-order exponential step to sigma_down through sqrt(sigma sigma_down).
Latents sample_dpmpp_2s_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                                  const NoiseSource& noise, const OnStep& on_step = {},
                                  const SamplerOptions& options = {});

// In the VE scale DDIM is Euler ancestral with eta 0 by default: the variance of its equation 16 is
// eta^2 sigma_up^2, and at eta 0 it is Euler. DDPM's posterior (variance "fixed_small") between two
// visited sigmas is Euler ancestral with eta 1, whatever the schedule of training. Both take their
// discretisation from `sigmas` alone. diffusers' DDIM differs: it steps to t - floor(N / n) even
// where its next timestep is another one. The two agree for leading spacing and for n that divides
// N.
Latents sample_ddim(const Denoiser& D, Latents x, const SigmaList& sigmas,
                    const NoiseSource& noise = {}, const OnStep& on_step = {},
                    const SamplerOptions& options = {});
Latents sample_ddpm(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource& noise,
                    const OnStep& on_step = {}, const SamplerOptions& options = {});
// Steps by x <- x0 + next * noise. D: a consistency model with its boundary condition
// (consistency.h).
Latents sample_lcm(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource& noise,
                   const OnStep& on_step = {}, const SamplerOptions& options = {});

// Calls D twice a step, at sigma and at the middle sqrt(sigma next), each time followed by an
// ancestral step from sigma. Both steps use one Brownian path W whose clock is sigma, as the
// Brownian trees of k-diffusion and diffusers do: `noise` is called for the two halves of a step,
// and the whole step's noise is their sum, weighted by sqrt of the halves' lengths. Independent
// noise for half and whole would lose variance (a tenth and more of it at 40 steps).
Latents sample_dpmpp_sde(const Denoiser& D, Latents x, const SigmaList& sigmas,
                         const NoiseSource& noise, const OnStep& on_step = {},
                         const SamplerOptions& options = {});
// These use the guess of the step before (3M also that of two steps before) and are exact in the
// noise: with h = log(sigma / next), x shrinks by exp(-(1 + eta) h) and noise of deviation next
// sqrt(1 - exp(-2 eta h)) comes in. 2M is the midpoint form. 3M takes the second difference with
// half of its exact weight, as all reference codes do: it is exact for guesses that are linear in
// log(sigma), not for quadratic ones. (In diffusers 0.42 a 1/2 in that term of "sde-dpmsolver++"
// has the wrong sign, so that the term does not vanish with h; here it is as in k-diffusion.)
Latents sample_dpmpp_2m_sde(const Denoiser& D, Latents x, const SigmaList& sigmas,
                            const NoiseSource& noise, const OnStep& on_step = {},
                            const SamplerOptions& options = {});
Latents sample_dpmpp_3m_sde(const Denoiser& D, Latents x, const SigmaList& sigmas,
                            const NoiseSource& noise, const OnStep& on_step = {},
                            const SamplerOptions& options = {});

// The first step is of first order, and so is the last one if it goes to 0. For fewer than 15
// steps, diffusers lowers the order of the last step also where it ends above 0; here a list that
// ends above 0 is a piece of a longer one and keeps its order.
Latents sample_dpmpp_2m(const Denoiser& D, Latents x, const SigmaList& sigmas,
                        const NoiseSource& noise = {}, const OnStep& on_step = {},
                        const SamplerOptions& options = {});
// Integrates the polynomial through the last `order` slopes over the step, also over the step to 0,
// in options.variable.
Latents sample_lms(const Denoiser& D, Latents x, const SigmaList& sigmas,
                   const NoiseSource& noise = {}, const OnStep& on_step = {},
                   const SamplerOptions& options = {});
// B(h) = exp(h) - 1 ("bh2"), data prediction. Predicts with `order` guesses and corrects with the
// one that the next step needs anyway; the latents that on_step gets are not corrected yet. Towards
// sigma 0 the order falls to 1 as in diffusers; towards an end above 0 it stays, as in dpmpp_2m.
Latents sample_unipc(const Denoiser& D, Latents x, const SigmaList& sigmas,
                     const NoiseSource& noise = {}, const OnStep& on_step = {},
                     const SamplerOptions& options = {});

// An entry of the table of samplers: all that the program must know of a sampler in addition to its
// steps.
struct Sampler {
  std::string name;  // as flags and configuration files spell it
  // How others spell it, for named_sampler (sampler_names.h): A1111's web UI, empty if it has none;
  // and ComfyUI, diffusers and others.
  std::string web_name = {};
  std::vector<std::string> other_names = {};
  std::string summary;
  Latents (*run)(const Denoiser&, Latents, const SigmaList&, const NoiseSource&, const OnStep&,
                 const SamplerOptions&) = nullptr;
  int calls_per_step = 1;
  bool needs_noise = false;  // whether it adds noise at its default eta
  bool takes_eta = false;    // whether SamplerOptions::eta has an effect
  int most_order = 0;        // greatest SamplerOptions::order; 0: it has no order to choose
  // How diffusers' scheduler of that name places its timesteps.
  TimestepRule timestep_rule = TimestepRule::kEuler;
  bool consistency = false;  // D must be a consistency model's (consistency.h)
  // Whether the last step ends where the model's files say (SigmaOptions::final_sigma) on a
  // schedule that visits timesteps. Otherwise it goes to 0.
  bool ends_as_configured = false;

  Latents sample(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource& noise,
                 const OnStep& on_step, const SamplerOptions& options = {}) const {
    return run(D, std::move(x), sigmas, noise, on_step, options);
  }
};
const std::vector<Sampler>& samplers();
// The entry of this name. Throws kBadInput, which lists the names, if there is none.
const Sampler& find_sampler(const std::string& name);

}  // namespace pangu::diffusion
