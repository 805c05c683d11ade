// What the samplers share: checks, the ancestral split, the call after a step. It is no public
// contract of the room.
#pragma once
#include <cmath>

#include "core/error.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion::steps {

// Throws kBadInput unless sigmas is what samplers.h asks for and the options are in range.
void check(const SigmaList& sigmas, const SamplerOptions& options);
// Returns options.order, or `standard` where it is unset; throws kBadInput unless 1 <= order <=
// most.
int order_of(const SamplerOptions& options, int standard, int most);

// Returns x plus `scale` times the noise of the draw. Throws kInternal without a source of noise.
Latents add_noise(const Latents& x, const NoiseSource& noise, const NoiseDraw& draw, double scale);

// The path of the probability flow in the variable that a sampler integrates over. Latents stay in
// the VE scale; only the sum of slopes is taken in the variable.
class Path {
 public:
  explicit Path(PathVariable variable) : variable_(variable) {}

  // The variable at sigma: sigma itself, or s = sigma / (1 + sigma).
  double at(double sigma) const {
    return variable_ == PathVariable::kSigma ? sigma : sigma / (1.0 + sigma);
  }
  double length(double sigma, double next) const { return at(next) - at(sigma); }
  // The sigma at the geometric middle of the variable between two levels.
  double middle(double sigma, double next) const {
    const double m = std::sqrt(at(sigma) * at(next));
    return variable_ == PathVariable::kSigma ? m : m / (1.0 - m);
  }
  // `factor` times the derivative with respect to the variable, eps or eps - x0, given the guess x0
  // at x.
  Latents slope(const Latents& x, const Latents& x0, double sigma, double factor = 1.0) const {
    const Latents eps = (x - x0) * (factor / sigma);
    return variable_ == PathVariable::kSigma ? eps : eps - x0 * factor;
  }
  // Turns x into the latent whose derivative slope() is: x itself, or (1 - s) x0 + s eps.
  // from_variable is the inverse.
  Latents to_variable(const Latents& x, double sigma) const {
    return variable_ == PathVariable::kSigma ? x : x * (1.0 / (1.0 + sigma));
  }
  Latents from_variable(const Latents& y, double sigma) const {
    return variable_ == PathVariable::kSigma ? y : y * (1.0 + sigma);
  }

 private:
  PathVariable variable_;
};

// Steps from x at sigma to next > 0 with the slope at the geometric middle; x0 is the guess at x.
Latents midpoint_step(const Denoiser& D, const Path& path, const Latents& x, const Latents& x0,
                      double sigma, double next);

// The entries of samplers(), one list for each file that has their functions.
std::vector<Sampler> ancestral_samplers();
std::vector<Sampler> multistep_samplers();
std::vector<Sampler> sde_samplers();

// Tells the caller about step i; returns whether the sampler is to go on.
inline bool goes_on(const OnStep& on_step, const SigmaList& sigmas, size_t i, const Latents& x,
                    const Latents& x0) {
  return !on_step || on_step({i, sigmas.size() - 1, sigmas[i], sigmas[i + 1], x, x0});
}

// down^2 + up^2 = next^2; at eta 1, up^2 is the variance of the posterior q(x_next | x, x0).
struct Ancestral {
  double down, up;
};
inline Ancestral ancestral(double sigma, double next, double eta) {
  if (eta == 0.0) return {next, 0.0};
  const double share = eta * std::sqrt(1.0 - next * next / (sigma * sigma));
  if (share >= 1.0) return {0.0, next};
  return {eta == 1.0 ? next * next / sigma : next * std::sqrt(1.0 - share * share), next * share};
}

}  // namespace pangu::diffusion::steps
