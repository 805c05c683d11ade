// Lists of noise levels that are a curve between two ends, or a published table, and their entries
// in the table of rules.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "diffusion/beta_quantile.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {
namespace {

constexpr int64_t kMaxSteps = 10000;

void check_curve_steps(int64_t steps) {
  if (steps < 1 || steps > kMaxSteps) {
    throw bad_input("steps", "1 to " + std::to_string(kMaxSteps), std::to_string(steps));
  }
}

void check_curve_range(int64_t steps, double sigma_min, double sigma_max) {
  check_curve_steps(steps);
  if (!(0.0 < sigma_min && sigma_min < sigma_max && std::isfinite(sigma_max))) {
    throw bad_input("sigma range", "0 < sigma_min < sigma_max",
                    std::to_string(sigma_min) + " to " + std::to_string(sigma_max));
  }
}

void check_rho(double rho) {
  if (!(rho > 0.0 && std::isfinite(rho))) {
    throw bad_input("rho", "a number above 0", std::to_string(rho));
  }
}

// Returns curve(u) for n values of u from 0 to 1, then 0.
template <class Curve>
SigmaList along(int64_t steps, const Curve& curve) {
  SigmaList sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    sigmas.push_back(
        curve(steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1)));
  }
  sigmas.push_back(0.0);
  return sigmas;
}

// Sabour et al. 2024, "Align Your Steps": the levels on the authors' project page, ten steps each.
constexpr std::array<double, 11> kAlignedSd15 = {14.615, 6.475, 3.861, 2.697, 1.886, 1.396,
                                                 0.963,  0.652, 0.399, 0.152, 0.029};
constexpr std::array<double, 11> kAlignedSdxl = {14.615, 6.315, 3.771, 2.181, 1.342, 0.862,
                                                 0.555,  0.380, 0.234, 0.113, 0.029};

SigmaList without_end(SigmaList sigmas) {
  sigmas.pop_back();
  return sigmas;
}

SigmaList karras_levels(const SigmaRange& r) {
  return without_end(karras_sigmas(r.steps, r.low, r.high, r.options.rho.value_or(7.0)));
}

SigmaList exponential_levels(const SigmaRange& r) {
  return without_end(exponential_sigmas(r.steps, r.low, r.high));
}

SigmaList polyexponential_levels(const SigmaRange& r) {
  return without_end(polyexponential_sigmas(r.steps, r.low, r.high, r.options.rho.value_or(1.0)));
}

SigmaList beta_levels(const SigmaRange& r) {
  return without_end(beta_sigmas(r.steps, r.low, r.high));
}

// On Gaussian data of deviation 1 these steps give the least KL divergence (Sabour et al. 2024,
// section 3.2; their variable is sigma with the same ends).
SigmaList kl_optimal_levels(const SigmaRange& r) {
  check_curve_range(r.steps, r.low, r.high);
  const double high = std::atan(r.high), low = std::atan(r.low);
  return without_end(
      along(r.steps, [&](double u) { return std::tan(u * low + (1.0 - u) * high); }));
}

SigmaList align_your_steps_levels(const SigmaRange& r) {
  return without_end(align_your_steps_sigmas(r.steps, r.options.align_your_steps));
}

}  // namespace

const std::vector<SigmaRule>& sigma_curve_rules() {
  static const std::vector<SigmaRule> all = {
      {.name = "karras",
       .web_name = "Karras",
       .summary = "rho-spaced between sigma_max and sigma_min, rho 7 unless given",
       .levels = karras_levels,
       .is_curve = true},
      {.name = "exponential",
       .web_name = "Exponential",
       .summary = "geometric between them",
       .levels = exponential_levels,
       .is_curve = true},
      {.name = "polyexponential",
       .web_name = "Polyexponential",
       .summary = "exponential bent by rho, 1 (no bend) unless given",
       .levels = polyexponential_levels,
       .is_curve = true},
      // A1111's web UI and diffusers take quantiles of this kind; ComfyUI takes the quantiles of t
      // instead.
      {.name = "beta",
       .web_name = "Beta",
       .summary = "quantiles of Beta(0.6, 0.6) between sigma_min and sigma_max",
       .levels = beta_levels,
       .is_curve = true},
      {.name = "kl_optimal",
       .web_name = "KL Optimal",
       .summary = "equal parts of atan(sigma) between sigma_max and sigma_min",
       .levels = kl_optimal_levels,
       .is_curve = true},
      {.name = "align_your_steps",
       .web_name = "Align Your Steps",
       .summary = "the published ten steps, log-linear between them for other counts",
       .levels = align_your_steps_levels},
      // The ends are those of Karras et al. 2022, table 1.
      {.name = "edm",
       .summary = "karras between 80 and 0.002, whatever the schedule",
       .levels = karras_levels,
       .is_curve = true,
       .own_ends = {{0.002, 80.0}}},
  };
  return all;
}

SigmaList karras_sigmas(int64_t steps, double sigma_min, double sigma_max, double rho) {
  check_curve_range(steps, sigma_min, sigma_max);
  check_rho(rho);
  const double high = std::pow(sigma_max, 1.0 / rho), low = std::pow(sigma_min, 1.0 / rho);
  return along(steps, [&](double u) { return std::pow(high + u * (low - high), rho); });
}

SigmaList exponential_sigmas(int64_t steps, double sigma_min, double sigma_max) {
  check_curve_range(steps, sigma_min, sigma_max);
  const double high = std::log(sigma_max), low = std::log(sigma_min);
  return along(steps, [&](double u) { return std::exp(high + u * (low - high)); });
}

SigmaList polyexponential_sigmas(int64_t steps, double sigma_min, double sigma_max, double rho) {
  check_curve_range(steps, sigma_min, sigma_max);
  check_rho(rho);
  const double high = std::log(sigma_max), low = std::log(sigma_min);
  return along(steps,
               [&](double u) { return std::exp(low + std::pow(1.0 - u, rho) * (high - low)); });
}

SigmaList beta_sigmas(int64_t steps, double sigma_min, double sigma_max, double alpha,
                      double beta) {
  check_curve_range(steps, sigma_min, sigma_max);
  return along(steps, [&](double u) {
    return sigma_min + beta_quantile(1.0 - u, alpha, beta) * (sigma_max - sigma_min);
  });
}

SigmaList align_your_steps_sigmas(int64_t steps, AlignYourSteps table) {
  check_curve_steps(steps);
  const auto& levels = table == AlignYourSteps::kSdxl ? kAlignedSdxl : kAlignedSd15;
  const double parts = static_cast<double>(levels.size() - 1);
  SigmaList sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    const double at = parts * static_cast<double>(i) / static_cast<double>(steps);
    const auto low = static_cast<size_t>(at);
    const double part = at - static_cast<double>(low);
    sigmas.push_back(part == 0.0 ? levels[low]
                                 : std::exp((1.0 - part) * std::log(levels[low]) +
                                            part * std::log(levels[low + 1])));
  }
  sigmas.push_back(0.0);
  return sigmas;
}

}  // namespace pangu::diffusion
