// Pieces that the samplers share: checks, the ancestral split, the call after a step. Not a public
// contract of the room.
#pragma once
#include <cmath>

#include "core/error.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion::steps {

// kBadInput unless sigmas is what samplers.h asks for and the options are in range.
void check(const SigmaList& sigmas, const SamplerOptions& options);
// options.order or `standard`; kBadInput unless 1 <= order <= most.
int order_of(const SamplerOptions& options, int standard, int most);

// `noise` for the interval, times `scale`, added to x. kInternal error without a source.
Latents add_noise(const Latents& x, const NoiseSource& noise, double sigma, double next,
                  double scale);

// Tells the caller about step i; true if it wants to go on.
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
