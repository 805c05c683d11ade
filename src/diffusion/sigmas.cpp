// Where a sampler stops on the way from noise to picture: lists that visit timesteps of a schedule.
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
constexpr EnumName<FinalSigma> kFinalSigmaNames[] = {
    {FinalSigma::kZero, "zero"},
    {FinalSigma::kSigmaMin, "sigma_min"},
};

constexpr double kEdmSigmaMin = 0.002, kEdmSigmaMax = 80.0;  // Karras et al. 2022, table 1
constexpr double kSameLevel = 1e-6;  // relative; last places are 1e-16, steps 1e-3 and more

void check_steps(int64_t steps, int64_t most) {
  if (steps < 1 || steps > most) {
    throw bad_input("steps", "1 to " + std::to_string(most), std::to_string(steps));
  }
}

// A flow's t_index of the time s in (0, 1], pushed towards noise by flow_shift.
double shifted_flow_t(const Schedule& schedule, double s) {
  const double k = schedule.config().flow_shift;
  return k * s / (1.0 + (k - 1.0) * s) * static_cast<double>(schedule.num_train_timesteps());
}

// The sigma of entry i of the table of N; a flow's table holds s = 1/N, ..., 1.
double table_sigma(const Schedule& schedule, double i) {
  if (!schedule.is_flow()) return schedule.sigma_of_t(i);
  const auto N = static_cast<double>(schedule.num_train_timesteps());
  return schedule.sigma_of_t(shifted_flow_t(schedule, (i + 1.0) / N));
}

// sigma linear in t between table entries, as diffusers' "interpolation_type": "linear".
double linear_sigma_of_t(const Schedule& schedule, double t) {
  const double low = std::floor(t), part = t - low;
  if (part == 0.0) return schedule.sigma_of_t(t);
  return (1.0 - part) * schedule.sigma_of_t(low) + part * schedule.sigma_of_t(low + 1.0);
}

double timestep(const SigmaOptions& options, int64_t i, int64_t n, int64_t train_steps) {
  const auto N = static_cast<double>(train_steps);
  const auto index = static_cast<double>(i), count = static_cast<double>(n);
  // DPM-Solver's schedulers make one step more and leave out its t = 0.
  const int64_t parts = options.timestep_rule == TimestepRule::kDpmSolver ? n + 1 : n;
  switch (options.spacing) {
    case Spacing::kLeading: {
      const int64_t ratio = train_steps / parts;
      const int64_t fits = train_steps - 1 - (parts - 1) * ratio;
      return static_cast<double>((parts - 1 - i) * ratio + std::min(options.steps_offset, fits));
    }
    case Spacing::kLinspace: {
      if (parts == 1) return N - 1.0;
      // NumPy's linspace: the step is rounded once.
      const double t =
          static_cast<double>(parts - 1 - i) * ((N - 1.0) / static_cast<double>(parts - 1));
      return options.timestep_rule == TimestepRule::kEuler ? t : std::nearbyint(t);
    }
    case Spacing::kTrailing:
      // NumPy's arange: start + i * step, where step is the rounded difference of the first two.
      return std::nearbyint(N + index * ((N - N / count) - N)) - 1.0;
    case Spacing::kLegacyDdpm:
      return std::floor((N - 1.0) + index * (-(N - 1.0) / count));
  }
  throw Error(ErrorCode::kInternal, "spacing without a rule");
}

SigmaList normal_sigmas(const Schedule& schedule, int64_t steps, const SigmaOptions& options) {
  SigmaList sigmas;
  const bool linear = options.linear_interpolation && !schedule.is_flow();
  for (double t : spaced_timesteps(schedule, steps, options)) {
    sigmas.push_back(linear ? linear_sigma_of_t(schedule, t) : schedule.sigma_of_t(t));
  }
  return sigmas;
}

SigmaList sgm_uniform_sigmas(const Schedule& schedule, int64_t steps) {
  const double last = static_cast<double>(schedule.num_train_timesteps() - 1);
  SigmaList sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    sigmas.push_back(
        table_sigma(schedule, last * static_cast<double>(steps - i) / static_cast<double>(steps)));
  }
  return sigmas;
}

SigmaList simple_sigmas(const Schedule& schedule, int64_t steps) {
  const auto N = static_cast<double>(schedule.num_train_timesteps());
  const double stride = N / static_cast<double>(steps);
  SigmaList sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    sigmas.push_back(table_sigma(schedule, N - 1.0 - std::floor(static_cast<double>(i) * stride)));
  }
  return sigmas;
}

SigmaList ddim_uniform_sigmas(const Schedule& schedule, int64_t steps) {
  const int64_t N = schedule.num_train_timesteps(), stride = std::max<int64_t>(N / steps, 1);
  SigmaList sigmas;
  for (int64_t t = 1; t < N; t += stride) {
    sigmas.push_back(table_sigma(schedule, static_cast<double>(t)));
  }
  std::reverse(sigmas.begin(), sigmas.end());
  return sigmas;
}

SigmaList without_end(SigmaList sigmas) {
  sigmas.pop_back();
  return sigmas;
}

}  // namespace

double just_above(double sigma) { return sigma * (1.0 + kSameLevel); }

Spacing spacing_from(const std::string& name) { return enum_from(kSpacingNames, "spacing", name); }
std::string to_string(Spacing spacing) { return enum_name(kSpacingNames, spacing); }
FinalSigma final_sigma_from(const std::string& name) {
  return enum_from(kFinalSigmaNames, "final_sigmas_type", name);
}
std::string to_string(FinalSigma final_sigma) { return enum_name(kFinalSigmaNames, final_sigma); }

std::vector<std::string> sigma_list_names() {
  return {"normal",           "karras", "exponential",  "polyexponential",
          "sgm_uniform",      "simple", "ddim_uniform", "beta",
          "align_your_steps", "lcm",    "edm"};
}

std::vector<double> spaced_timesteps(const Schedule& schedule, int64_t steps,
                                     const SigmaOptions& options) {
  const int64_t n_train = schedule.num_train_timesteps();
  const bool one_more = options.timestep_rule == TimestepRule::kDpmSolver && !schedule.is_flow();
  check_steps(steps, one_more ? n_train - 1 : n_train);
  std::vector<double> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    if (schedule.is_flow()) {
      // s = 1, ..., 1/n: the ends of n equal parts of the line, then shifted towards noise.
      const double s = 1.0 - static_cast<double>(i) / static_cast<double>(steps);
      timesteps.push_back(shifted_flow_t(schedule, s));
      continue;
    }
    const double t = timestep(options, i, steps, n_train);
    timesteps.push_back(std::clamp(t, 0.0, static_cast<double>(n_train - 1)));
  }
  return timesteps;
}

std::vector<double> lcm_timesteps(const Schedule& schedule, int64_t steps, int64_t original_steps,
                                  double strength) {
  const int64_t N = schedule.num_train_timesteps();
  if (original_steps < 1 || original_steps > N) {
    throw bad_input("original_inference_steps", "1 to " + std::to_string(N),
                    std::to_string(original_steps));
  }
  if (!(0.0 < strength && strength <= 1.0)) {
    throw bad_input("strength", "above 0, up to 1", std::to_string(strength));
  }
  const int64_t k = N / original_steps;
  const auto count = static_cast<int64_t>(static_cast<double>(original_steps) * strength);
  check_steps(steps, count);
  const double stride = static_cast<double>(count) / static_cast<double>(steps);
  std::vector<double> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    const auto from_end = static_cast<int64_t>(static_cast<double>(i) * stride);
    timesteps.push_back(static_cast<double>((count - from_end) * k - 1));
  }
  return timesteps;
}

SigmaList make_sigmas(const std::string& name, const Schedule& schedule, int64_t steps,
                      const SigmaOptions& options) {
  const bool edm = name == "edm";
  double low = options.sigma_min.value_or(edm ? kEdmSigmaMin : schedule.sigma_min());
  double high = options.sigma_max.value_or(edm ? kEdmSigmaMax : schedule.sigma_max());
  const bool curve =
      name == "karras" || name == "exponential" || name == "polyexponential" || name == "beta";
  if (options.ends_of_timesteps && curve) {
    const SigmaList visited = normal_sigmas(schedule, steps, options);
    high = options.sigma_max.value_or(visited.front());
    // A single step has only one end; the curve does not reach the other.
    if (steps > 1) low = options.sigma_min.value_or(visited.back());
  }
  SigmaList sigmas;
  if (name == "normal") {
    sigmas = normal_sigmas(schedule, steps, options);
  } else if (edm || name == "karras") {
    sigmas = without_end(karras_sigmas(steps, low, high, options.rho.value_or(7.0)));
  } else if (name == "exponential") {
    sigmas = without_end(exponential_sigmas(steps, low, high));
  } else if (name == "polyexponential") {
    sigmas = without_end(polyexponential_sigmas(steps, low, high, options.rho.value_or(1.0)));
  } else if (name == "beta") {
    sigmas = without_end(beta_sigmas(steps, low, high));
  } else if (name == "align_your_steps") {
    sigmas = without_end(align_your_steps_sigmas(steps, options.align_your_steps));
  } else if (name == "lcm") {
    for (double t : lcm_timesteps(schedule, steps, options.original_inference_steps)) {
      sigmas.push_back(table_sigma(schedule, t));
    }
  } else if (name == "sgm_uniform" || name == "simple" || name == "ddim_uniform") {
    check_steps(steps, schedule.num_train_timesteps());
    sigmas = name == "sgm_uniform" ? sgm_uniform_sigmas(schedule, steps)
             : name == "simple"    ? simple_sigmas(schedule, steps)
                                   : ddim_uniform_sigmas(schedule, steps);
  } else {
    std::string known;
    for (const std::string& each : sigma_list_names()) {
      known += (known.empty() ? "one of " : ", ") + each;
    }
    throw bad_input("sigma list", known, "\"" + name + "\"");
  }
  const double end = options.final_sigma == FinalSigma::kZero ? 0.0
                     : edm                                    ? low
                                                              : schedule.sigma_min();
  if (sigmas.back() > end) sigmas.push_back(end);
  return sigmas;
}

SigmaList tail_of(const SigmaList& sigmas, double strength) {
  if (!(0.0 <= strength && strength <= 1.0)) {
    throw bad_input("strength", "0 to 1", std::to_string(strength));
  }
  const int64_t steps = static_cast<int64_t>(sigmas.size()) - 1;
  const auto kept = std::min(static_cast<int64_t>(static_cast<double>(steps) * strength), steps);
  if (kept < 1) {
    throw bad_input("strength", "enough for a step out of " + std::to_string(steps),
                    std::to_string(strength), "more steps or a greater strength");
  }
  return {sigmas.end() - (kept + 1), sigmas.end()};
}

SigmaList ending_at(SigmaList sigmas, double end) {
  if (sigmas.size() <= 2 && sigmas.front() <= end) return sigmas;
  sigmas.pop_back();
  if (sigmas.back() > end) sigmas.push_back(end);
  return sigmas;
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
