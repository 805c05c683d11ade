// The deterministic one-step samplers, and the table of all samplers. mix(x0, x, r) moves x along
// its ray from x0 to r times the noise, which is the Euler step of the probability flow from sigma
// to r * sigma.
#include "diffusion/samplers/samplers.h"

#include <cmath>

#include "diffusion/samplers/sampler_steps.h"

namespace pangu::diffusion {
namespace steps {

void check(const SigmaList& sigmas, const SamplerOptions& options) {
  bool valid = sigmas.size() >= 2 && std::isfinite(sigmas.front()) && sigmas.back() >= 0.0;
  for (size_t i = 1; i < sigmas.size(); ++i) valid = valid && sigmas[i] < sigmas[i - 1];
  if (!valid) {
    throw bad_input("sigmas", "2 or more, strictly decreasing, the last 0 or more",
                    to_string(sigmas));
  }
  options.validate();
}

int order_of(const SamplerOptions& options, int standard, int most) {
  const int order = options.order.value_or(standard);
  if (order < 1 || order > most) {
    throw bad_input("order of the sampler", "1 to " + std::to_string(most), std::to_string(order));
  }
  return order;
}

Latents add_noise(const Latents& x, const NoiseSource& noise, const NoiseDraw& draw, double scale) {
  if (!noise) throw Error(ErrorCode::kInternal, "sampler: a noise source is needed");
  return x + noise(draw) * scale;
}

Latents midpoint_step(const Denoiser& D, const Path& path, const Latents& x, const Latents& x0,
                      double sigma, double next) {
  const double middle = path.middle(sigma, next);
  const Latents between = mix(x0, x, middle / sigma);
  const Latents change = path.slope(between, D(between, middle), middle, path.length(sigma, next));
  return path.from_variable(path.to_variable(x, sigma) + change, next);
}

}  // namespace steps

void SamplerOptions::validate() const {
  const double given = eta.value_or(0.0);
  if (!(given >= 0.0 && std::isfinite(given))) {
    throw bad_input("eta", "a number of 0 or more", std::to_string(given));
  }
  if (!(s_noise >= 0.0 && std::isfinite(s_noise))) {
    throw bad_input("s_noise", "a number of 0 or more", std::to_string(s_noise));
  }
}

Latents sample_euler(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                     const OnStep& on_step, const SamplerOptions& options) {
  steps::check(sigmas, options);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const Latents x0 = D(x, sigmas[i]);
    x = mix(x0, x, sigmas[i + 1] / sigmas[i]);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

Latents sample_heun(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                    const OnStep& on_step, const SamplerOptions& options) {
  steps::check(sigmas, options);
  const steps::Path path(options.variable);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    const Latents predicted = mix(x0, x, next / sigma);
    if (next == 0.0) {
      x = predicted;
    } else {
      const Latents slopes =
          path.slope(x, x0, sigma) + path.slope(predicted, D(predicted, next), next);
      x = path.from_variable(path.to_variable(x, sigma) + slopes * (0.5 * path.length(sigma, next)),
                             next);
    }
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

Latents sample_dpm2(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                    const OnStep& on_step, const SamplerOptions& options) {
  steps::check(sigmas, options);
  const steps::Path path(options.variable);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    x = next == 0.0 ? x0 : steps::midpoint_step(D, path, x, x0, sigma, next);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

const std::vector<Sampler>& samplers() {
  using enum TimestepRule;
  static const std::vector<Sampler> all = [] {
    std::vector<Sampler> table = {
        {.name = "euler",
         .web_name = "Euler",
         .other_names = {"EulerDiscreteScheduler"},
         .summary = "first order, deterministic",
         .run = sample_euler},
        {.name = "heun",
         .web_name = "Heun",
         .other_names = {"HeunDiscreteScheduler"},
         .summary = "second order, two network calls a step",
         .run = sample_heun,
         .calls_per_step = 2},
        {.name = "dpm2",
         .web_name = "DPM2",
         .other_names = {"dpm_2", "KDPM2DiscreteScheduler"},
         .summary = "second order by the geometric middle, two network calls a step",
         .run = sample_dpm2,
         .calls_per_step = 2},
    };
    for (const auto& more :
         {steps::ancestral_samplers(), steps::multistep_samplers(), steps::sde_samplers()}) {
      table.insert(table.end(), more.begin(), more.end());
    }
    return table;
  }();
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
