// Each sampler is the loop of its paper. mix(x0, x, r) moves x along its ray from x0 to r times the
// noise, which is the Euler step of the probability flow from sigma to r * sigma.
#include "diffusion/samplers.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"

namespace pangu::diffusion {
namespace {

void check_sigmas(const SigmaList& sigmas) {
  bool valid = sigmas.size() >= 2 && std::isfinite(sigmas.front()) && sigmas.back() >= 0.0;
  for (size_t i = 1; i < sigmas.size(); ++i) valid = valid && sigmas[i] < sigmas[i - 1];
  if (!valid) {
    throw bad_input("sigmas", "2 or more, strictly decreasing, the last 0 or more",
                    to_string(sigmas));
  }
}

// Tells the caller about step i; true if it wants to go on.
bool goes_on(const OnStep& on_step, const SigmaList& sigmas, size_t i, const Latents& x,
             const Latents& x0) {
  return !on_step || on_step({i, sigmas.size() - 1, sigmas[i], sigmas[i + 1], x, x0});
}

}  // namespace

Latents sample_euler(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                     const OnStep& on_step) {
  check_sigmas(sigmas);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const Latents x0 = D(x, sigmas[i]);
    x = mix(x0, x, sigmas[i + 1] / sigmas[i]);
    if (!goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

Latents sample_euler_ancestral(const Denoiser& D, Latents x, const SigmaList& sigmas,
                               const NoiseSource& noise, const OnStep& on_step) {
  check_sigmas(sigmas);
  if (!noise) throw Error(ErrorCode::kInternal, "euler_a: a noise source is needed");
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    // Down to sigma_down without noise, then up to `next` with fresh noise: the variance of the
    // exact posterior q(x_next | x, x0), and sigma_down^2 + sigma_up^2 = next^2.
    const double sigma_up = next * std::sqrt(1.0 - next * next / (sigma * sigma));
    const double sigma_down = next * next / sigma;
    x = mix(x0, x, sigma_down / sigma);
    if (sigma_up > 0.0) x = x + noise(sigma, next) * sigma_up;
    if (!goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

Latents sample_heun(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                    const OnStep& on_step) {
  check_sigmas(sigmas);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    const Latents predicted = mix(x0, x, next / sigma);
    if (next == 0.0) {
      x = predicted;
    } else {
      const Latents slope = (x - x0) * (1.0 / sigma);
      const Latents slope_next = (predicted - D(predicted, next)) * (1.0 / next);
      x = x + (slope + slope_next) * (0.5 * (next - sigma));
    }
    if (!goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

Latents sample_dpmpp_2m(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                        const OnStep& on_step) {
  check_sigmas(sigmas);
  std::optional<Latents> x0_before;
  double h_before = 0.0;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const Latents x0 = D(x, sigmas[i]);
    const double ratio = sigmas[i + 1] / sigmas[i];
    const double h = -std::log(ratio);  // the step in lambda = -log(sigma); infinite in the last
    Latents x0_ahead = x0;
    // First order at the start, for want of a past, and at the end, where h / h_before is infinite.
    if (x0_before && sigmas[i + 1] > 0.0) {
      x0_ahead = x0 + (x0 - *x0_before) * (h / (2.0 * h_before));
    }
    x = mix(x0_ahead, x, ratio);
    if (!goes_on(on_step, sigmas, i, x, x0)) break;
    x0_before = x0;
    h_before = h;
  }
  return x;
}

const std::vector<Sampler>& samplers() {
  static const std::vector<Sampler> all = {
      {"euler", "first order, deterministic", sample_euler, 1, false},
      {"euler_a", "first order with fresh noise at every step", sample_euler_ancestral, 1, true},
      {"heun", "second order, two network calls a step", sample_heun, 2, false},
      {"dpmpp_2m", "second order from the step before, one network call a step", sample_dpmpp_2m, 1,
       false},
  };
  return all;
}

const Sampler& find_sampler(const std::string& name) {
  std::string known;
  for (const Sampler& sampler : samplers()) {
    if (sampler.name == name) return sampler;
    known += (known.empty() ? "one of " : ", ") + sampler.name;
  }
  throw bad_input("sampler", known, "\"" + name + "\"");
}

}  // namespace pangu::diffusion
