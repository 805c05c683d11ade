// Samplers of the reverse SDE. Steps are h = log(sigma / next); the linear part and the noise of a
// step are exact; how the guess of x0 changes within a step is approximated.
#include <cmath>
#include <optional>

#include "diffusion/samplers/sampler_steps.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion {

Latents sample_dpmpp_sde(const Denoiser& D, Latents x, const SigmaList& sigmas,
                         const NoiseSource& noise, const OnStep& on_step,
                         const SamplerOptions& options) {
  steps::check(sigmas, options);
  const double eta = options.eta.value_or(1.0);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    if (next == 0.0) {
      x = x0;
    } else {
      const double middle = std::sqrt(sigma * next);
      const steps::Ancestral half = steps::ancestral(sigma, middle, eta);
      const steps::Ancestral whole = steps::ancestral(sigma, next, eta);
      Latents between = mix(x0, x, half.down / sigma);
      // `first` and the noise added below are the increments of one path over [middle, sigma] and
      // [next, middle], each scaled to variance 1.
      Latents first;
      if (half.up > 0.0) {
        if (!noise) throw Error(ErrorCode::kInternal, "dpmpp_sde: a noise source is needed");
        first = noise({i, 0});
        between = between + first * (half.up * options.s_noise);
      }
      x = mix(D(between, middle), x, whole.down / sigma);
      if (whole.up > 0.0) {
        const double up = whole.up * options.s_noise, length = sigma - next;
        x = x + first * (up * std::sqrt((sigma - middle) / length));
        x = steps::add_noise(x, noise, {i, 1}, up * std::sqrt((middle - next) / length));
      }
    }
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

namespace {

// x <- exp(-(1 + eta) h) x + (1 - exp(-(1 + eta) h)) x0_ahead + noise.
Latents sde_step(const Latents& x, const Latents& x0_ahead, const NoiseSource& noise, size_t step,
                 double sigma, double next, double eta, double s_noise) {
  const double h = std::log(sigma / next);
  const Latents moved = mix(x0_ahead, x, std::exp(-(1.0 + eta) * h));
  if (eta == 0.0) return moved;
  const double up = next * std::sqrt(-std::expm1(-2.0 * eta * h));
  return steps::add_noise(moved, noise, {step}, up * s_noise);
}

}  // namespace

Latents sample_dpmpp_2m_sde(const Denoiser& D, Latents x, const SigmaList& sigmas,
                            const NoiseSource& noise, const OnStep& on_step,
                            const SamplerOptions& options) {
  steps::check(sigmas, options);
  const double eta = options.eta.value_or(1.0);
  std::optional<Latents> x0_before;
  double h_before = 0.0;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    if (next == 0.0) {
      x = x0;
    } else {
      const double h = std::log(sigma / next);
      const Latents x0_ahead = x0_before ? x0 + (x0 - *x0_before) * (h / (2.0 * h_before)) : x0;
      x = sde_step(x, x0_ahead, noise, i, sigma, next, eta, options.s_noise);
      h_before = h;
    }
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
    x0_before = x0;
  }
  return x;
}

Latents sample_dpmpp_3m_sde(const Denoiser& D, Latents x, const SigmaList& sigmas,
                            const NoiseSource& noise, const OnStep& on_step,
                            const SamplerOptions& options) {
  steps::check(sigmas, options);
  const double eta = options.eta.value_or(1.0);
  std::vector<Latents> past;   // guesses of the steps before, the latest first
  std::vector<double> h_past;  // the lengths of the steps before
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    if (next == 0.0) {
      x = x0;
    } else {
      const double h = std::log(sigma / next), k = (1.0 + eta) * h;
      // The phi functions of Lu et al. 2022b, appendix B, up to sign: the weights of x0 and of its
      // first and second differences.
      const double phi_1 = -std::expm1(-k), phi_2 = 1.0 - phi_1 / k, phi_3 = phi_2 / k - 0.5;
      Latents x0_ahead = x0;
      if (past.size() == 1) {
        x0_ahead = x0 + (x0 - past[0]) * (h / h_past[0] * phi_2 / phi_1);
      } else if (past.size() >= 2) {
        const double r0 = h_past[0] / h, r1 = h_past[1] / h;
        const Latents slope_0 = (x0 - past[0]) * (1.0 / r0);
        const Latents slope_1 = (past[0] - past[1]) * (1.0 / r1);
        const Latents bend = (slope_0 - slope_1) * (1.0 / (r0 + r1));
        const Latents slope = slope_0 + bend * r0;
        x0_ahead = x0 + slope * (phi_2 / phi_1) - bend * (phi_3 / phi_1);
      }
      x = sde_step(x, x0_ahead, noise, i, sigma, next, eta, options.s_noise);
      h_past.insert(h_past.begin(), h);
      past.insert(past.begin(), x0);
      if (past.size() > 2) past.pop_back(), h_past.pop_back();
    }
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

std::vector<Sampler> steps::sde_samplers() {
  using enum TimestepRule;
  return {
      {.name = "dpmpp_sde",
       .web_name = "DPM++ SDE",
       .other_names = {"dpmpp_sde_gpu", "DPMSolverSDEScheduler"},
       .summary = "second order on the reverse SDE, two network calls a step",
       .run = sample_dpmpp_sde,
       .calls_per_step = 2,
       .needs_noise = true,
       .takes_eta = true},
      {.name = "dpmpp_2m_sde",
       .web_name = "DPM++ 2M SDE",
       .other_names = {"dpmpp_2m_sde_gpu"},
       .summary = "dpmpp_2m on the reverse SDE",
       .run = sample_dpmpp_2m_sde,
       .needs_noise = true,
       .takes_eta = true,
       .timestep_rule = kDpmSolver},
      {.name = "dpmpp_3m_sde",
       .web_name = "DPM++ 3M SDE",
       .other_names = {"dpmpp_3m_sde_gpu"},
       .summary = "third order from two steps before on the reverse SDE",
       .run = sample_dpmpp_3m_sde,
       .needs_noise = true,
       .takes_eta = true,
       .timestep_rule = kDpmSolver},
  };
}

}  // namespace pangu::diffusion
