// Deterministic samplers that estimate the curve from earlier steps: they call the network once a
// step.
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <optional>

#include "diffusion/samplers/sampler_steps.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion {

Latents sample_dpmpp_2m(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                        const OnStep& on_step, const SamplerOptions& options) {
  steps::check(sigmas, options);
  std::optional<Latents> x0_before;
  double h_before = 0.0;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const Latents x0 = D(x, sigmas[i]);
    const double ratio = sigmas[i + 1] / sigmas[i];
    const double h = -std::log(ratio);  // the step in lambda = -log(sigma); infinite in the last
    Latents x0_ahead = x0;
    // The order is 1 at the start, where there is no earlier guess, and at the end, where h is
    // infinite.
    if (x0_before && sigmas[i + 1] > 0.0) {
      x0_ahead = x0 + (x0 - *x0_before) * (h / (2.0 * h_before));
    }
    x = mix(x0_ahead, x, ratio);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
    x0_before = x0;
    h_before = h;
  }
  return x;
}

namespace {

constexpr int kMostLms = 4, kMostUniPc = 3;

// The integral from `from` to `to` of the polynomial that is 1 at nodes[j] and 0 at the other
// nodes. Two points of Gauss-Legendre are exact up to degree 3, that is for kMostLms nodes.
double lms_weight(const std::vector<double>& nodes, size_t j, double from, double to) {
  const double centre = 0.5 * (from + to), half = 0.5 * (to - from);
  double sum = 0.0;
  for (const double side : {-1.0, 1.0}) {
    const double at = centre + side * half / std::sqrt(3.0);
    double value = 1.0;
    for (size_t k = 0; k < nodes.size(); ++k) {
      if (k != j) value *= (at - nodes[k]) / (nodes[j] - nodes[k]);
    }
    sum += value;
  }
  return half * sum;
}

// A guess of x0 and the sigma it was made at.
struct Guess {
  double sigma;
  Latents x0;
};

// The solution of sum_j weights[j] nodes[j]^(i-1) = b_i, i = 1..n (Zhao et al. 2023, theorem 3.1,
// in its form for data prediction with B(h) = exp(-h) - 1). n <= 3, nodes distinct.
std::vector<double> unipc_weights(const std::vector<double>& nodes, double h) {
  const size_t n = nodes.size();
  std::array<std::array<double, kMostUniPc + 1>, kMostUniPc> rows{};
  const double hh = -h, B = std::expm1(hh);
  double phi = B / hh - 1.0, factorial = 1.0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) rows[i][j] = std::pow(nodes[j], static_cast<double>(i));
    rows[i][n] = phi * factorial / B;
    factorial *= static_cast<double>(i + 2);
    phi = phi / hh - 1.0 / factorial;
  }
  for (size_t column = 0; column < n; ++column) {  // Gauss-Jordan with pivots
    size_t pivot = column;
    for (size_t i = column + 1; i < n; ++i) {
      if (std::abs(rows[i][column]) > std::abs(rows[pivot][column])) pivot = i;
    }
    std::swap(rows[column], rows[pivot]);
    for (size_t i = 0; i < n; ++i) {
      if (i == column) continue;
      const double factor = rows[i][column] / rows[column][column];
      for (size_t j = column; j <= n; ++j) rows[i][j] -= factor * rows[column][j];
    }
  }
  std::vector<double> weights(n);
  for (size_t i = 0; i < n; ++i) weights[i] = rows[i][n] / rows[i][i];
  return weights;
}

// Steps from x at past[0].sigma to `next` with the guesses past[0..order-1], the latest first. The
// corrector also has the guess that was made at `next`.
Latents unipc_step(const Latents& x, const std::deque<Guess>& past, size_t order, double next,
                   const Latents* x0_next) {
  const double sigma = past[0].sigma, h = std::log(sigma / next);
  const Latents& x0 = past[0].x0;
  if (next == 0.0) return x0;
  std::vector<double> nodes;
  for (size_t j = 1; j < order; ++j) nodes.push_back(std::log(sigma / past[j].sigma) / h);
  if (x0_next) nodes.push_back(1.0);
  // A single unknown may have the weight 1/2 instead of its equation's solution (section 3.2): the
  // order is the same.
  const std::vector<double> weights =
      nodes.size() == 1 ? std::vector<double>{0.5} : unipc_weights(nodes, h);
  Latents x0_ahead = x0;
  for (size_t j = 0; j < nodes.size(); ++j) {
    const bool last = x0_next && j + 1 == nodes.size();
    const Latents& other = last ? *x0_next : past[j + 1].x0;
    x0_ahead = x0_ahead + (other - x0) * (weights[j] / nodes[j]);
  }
  return mix(x0_ahead, x, next / sigma);
}

}  // namespace

Latents sample_lms(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                   const OnStep& on_step, const SamplerOptions& options) {
  steps::check(sigmas, options);
  const auto order = static_cast<size_t>(steps::order_of(options, kMostLms, kMostLms));
  const steps::Path path(options.variable);
  std::deque<Latents> slopes;  // the latest first
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    slopes.push_front(path.slope(x, x0, sigma));
    if (slopes.size() > order) slopes.pop_back();
    std::vector<double> nodes;
    for (size_t j = 0; j < slopes.size(); ++j) nodes.push_back(path.at(sigmas[i - j]));
    Latents y = path.to_variable(x, sigma);
    for (size_t j = 0; j < slopes.size(); ++j) {
      y = y + slopes[j] * lms_weight(nodes, j, path.at(sigma), path.at(next));
    }
    x = path.from_variable(y, next);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

Latents sample_unipc(const Denoiser& D, Latents x, const SigmaList& sigmas, const NoiseSource&,
                     const OnStep& on_step, const SamplerOptions& options) {
  steps::check(sigmas, options);
  const auto most = static_cast<size_t>(steps::order_of(options, 2, kMostUniPc));
  const size_t step_count = sigmas.size() - 1;
  std::deque<Guess> past;  // the latest first
  Latents before;          // the corrected latents that the step before began at, and its order
  size_t order = 0;
  for (size_t i = 0; i < step_count; ++i) {
    const Latents x0 = D(x, sigmas[i]);
    if (i > 0) x = unipc_step(before, past, order, sigmas[i], &x0);
    past.push_front({sigmas[i], x0});
    if (past.size() > most) past.pop_back();
    order = past.size();
    if (sigmas.back() == 0.0) order = std::min(order, step_count - i);
    before = x;
    x = unipc_step(x, past, order, sigmas[i + 1], nullptr);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
  }
  return x;
}

namespace {

// The second-order exponential multistep of Zhang et al. 2023, "Improved order analysis and design
// of exponential integrator for diffusion sampling" (RES), in data prediction: exact for guesses
// that are linear in log(sigma), where dpmpp_2m takes the midpoint's value for the whole step.
// The first step is of first order, and so is the last one if it goes to 0.
Latents sample_res_multistep(const Denoiser& D, Latents x, const SigmaList& sigmas,
                             const NoiseSource&, const OnStep& on_step,
                             const SamplerOptions& options) {
  steps::check(sigmas, options);
  std::optional<Latents> x0_before;
  double h_before = 0.0;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    const Latents x0 = D(x, sigma);
    Latents x0_ahead = x0;
    if (next > 0.0) {
      const double h = std::log(sigma / next);
      // phi_2(-h) / phi_1(-h) of the exponential integrators.
      const double weight = 1.0 / -std::expm1(-h) - 1.0 / h;
      if (x0_before) x0_ahead = x0 + (x0 - *x0_before) * (weight * h / h_before);
      h_before = h;
    }
    x = mix(x0_ahead, x, next / sigma);
    if (!steps::goes_on(on_step, sigmas, i, x, x0)) break;
    x0_before = x0;
  }
  return x;
}

}  // namespace

std::vector<Sampler> steps::multistep_samplers() {
  using enum TimestepRule;
  return {
      {.name = "dpmpp_2m",
       .web_name = "DPM++ 2M",
       .other_names = {"DPMSolverMultistepScheduler"},
       .summary = "second order from the step before, one network call a step",
       .run = sample_dpmpp_2m,
       .timestep_rule = kDpmSolver},
      {.name = "res_multistep",
       .summary = "second order from the step before, exact in the exponential",
       .run = sample_res_multistep},
      {.name = "lms",
       .web_name = "LMS",
       .other_names = {"LMSDiscreteScheduler"},
       .summary = "fourth order from the slopes of the steps before",
       .run = sample_lms,
       .most_order = kMostLms},
      {.name = "unipc",
       .web_name = "UniPC",
       .other_names = {"uni_pc_bh2", "UniPCMultistepScheduler"},
       .summary = "second or third order predictor and corrector, one network call a step",
       .run = sample_unipc,
       .most_order = kMostUniPc,
       .timestep_rule = kDpmSolver},
  };
}

}  // namespace pangu::diffusion
