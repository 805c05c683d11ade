// Where a sampler stops on the way from noise to picture.
#include "diffusion/sigmas.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "diffusion/enum_names.h"

namespace pangu::diffusion {
namespace {

constexpr EnumName<Spacing> kSpacingNames[] = {
    {Spacing::kLeading, "leading"},
    {Spacing::kLinspace, "linspace"},
    {Spacing::kTrailing, "trailing"},
    {Spacing::kLegacyDdpm, "legacy_ddpm"},
};

constexpr int64_t kMaxSteps = 10000;
constexpr double kEdmSigmaMin = 0.002, kEdmSigmaMax = 80.0;  // Karras et al. 2022, table 1

void check_range(int64_t steps, double sigma_min, double sigma_max) {
  if (steps < 1 || steps > kMaxSteps) {
    throw bad_input("steps", "1 to " + std::to_string(kMaxSteps), std::to_string(steps));
  }
  if (!(0.0 < sigma_min && sigma_min < sigma_max && std::isfinite(sigma_max))) {
    throw bad_input("sigma range", "0 < sigma_min < sigma_max",
                    std::to_string(sigma_min) + " to " + std::to_string(sigma_max));
  }
}

// sigma linear in t between table entries, as diffusers' "interpolation_type": "linear".
double linear_sigma_of_t(const Schedule& schedule, double t) {
  const double low = std::floor(t), part = t - low;
  if (part == 0.0) return schedule.sigma_of_t(t);
  return (1.0 - part) * schedule.sigma_of_t(low) + part * schedule.sigma_of_t(low + 1.0);
}

double unshifted_timestep(Spacing spacing, int64_t i, int64_t n, int64_t train_steps,
                          int64_t offset) {
  const auto N = static_cast<double>(train_steps);
  const double done = static_cast<double>(i) / static_cast<double>(n);
  switch (spacing) {
    case Spacing::kLeading:
      return static_cast<double>((n - 1 - i) * (train_steps / n) + offset);
    case Spacing::kLinspace:
      return n == 1 ? N - 1.0
                    : (N - 1.0) * static_cast<double>(n - 1 - i) / static_cast<double>(n - 1);
    case Spacing::kTrailing:
      // Half to even, as NumPy rounds.
      return std::nearbyint(N - N * done) - 1.0;
    case Spacing::kLegacyDdpm:
      // NumPy's linspace: start + i * step, with the step rounded once.
      return std::floor((N - 1.0) + static_cast<double>(i) * (-(N - 1.0) / static_cast<double>(n)));
  }
  throw Error(ErrorCode::kInternal, "spacing without a rule");
}

}  // namespace

Spacing spacing_from(const std::string& name) { return enum_from(kSpacingNames, "spacing", name); }
std::string to_string(Spacing spacing) { return enum_name(kSpacingNames, spacing); }

std::vector<std::string> sigma_list_names() { return {"normal", "karras", "exponential", "edm"}; }

std::vector<double> spaced_timesteps(const Schedule& schedule, int64_t steps,
                                     const SigmaOptions& options) {
  const int64_t n_train = schedule.num_train_timesteps();
  if (steps < 1 || steps > n_train) {
    throw bad_input("steps", "1 to " + std::to_string(n_train), std::to_string(steps));
  }
  std::vector<double> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    if (schedule.is_flow()) {
      // s = 1, ..., 1/n: the ends of n equal parts of the line, then shifted towards noise.
      const double s = 1.0 - static_cast<double>(i) / static_cast<double>(steps);
      const double k = schedule.config().flow_shift;
      timesteps.push_back(k * s / (1.0 + (k - 1.0) * s) * static_cast<double>(n_train));
      continue;
    }
    const double t = unshifted_timestep(options.spacing, i, steps, n_train, options.steps_offset);
    timesteps.push_back(std::clamp(t, 0.0, static_cast<double>(n_train - 1)));
  }
  return timesteps;
}

SigmaList karras_sigmas(int64_t steps, double sigma_min, double sigma_max, double rho) {
  check_range(steps, sigma_min, sigma_max);
  if (!(rho > 0.0 && std::isfinite(rho))) {
    throw bad_input("rho", "a number above 0", std::to_string(rho));
  }
  const double high = std::pow(sigma_max, 1.0 / rho), low = std::pow(sigma_min, 1.0 / rho);
  SigmaList sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    const double u = steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    sigmas.push_back(std::pow(high + u * (low - high), rho));
  }
  sigmas.push_back(0.0);
  return sigmas;
}

SigmaList exponential_sigmas(int64_t steps, double sigma_min, double sigma_max) {
  check_range(steps, sigma_min, sigma_max);
  const double high = std::log(sigma_max), low = std::log(sigma_min);
  SigmaList sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    const double u = steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    sigmas.push_back(std::exp(high + u * (low - high)));
  }
  sigmas.push_back(0.0);
  return sigmas;
}

SigmaList make_sigmas(const std::string& name, const Schedule& schedule, int64_t steps,
                      const SigmaOptions& options) {
  if (name == "normal") {
    SigmaList sigmas;
    for (double t : spaced_timesteps(schedule, steps, options)) {
      const bool linear = options.linear_interpolation && !schedule.is_flow();
      sigmas.push_back(linear ? linear_sigma_of_t(schedule, t) : schedule.sigma_of_t(t));
    }
    sigmas.push_back(0.0);
    return sigmas;
  }
  const bool edm = name == "edm";
  const double low = options.sigma_min.value_or(edm ? kEdmSigmaMin : schedule.sigma_min());
  const double high = options.sigma_max.value_or(edm ? kEdmSigmaMax : schedule.sigma_max());
  if (edm || name == "karras") return karras_sigmas(steps, low, high, options.rho);
  if (name == "exponential") return exponential_sigmas(steps, low, high);
  std::string known;
  for (const std::string& each : sigma_list_names()) {
    known += (known.empty() ? "one of " : ", ") + each;
  }
  throw bad_input("sigma list", known, "\"" + name + "\"");
}

std::string to_string(const SigmaList& sigmas) {
  std::string text;
  for (double sigma : sigmas) {
    char number[32];
    std::snprintf(number, sizeof number, "%.6g", sigma);
    text += (text.empty() ? "" : " ") + std::string(number);
  }
  return text;
}

}  // namespace pangu::diffusion
