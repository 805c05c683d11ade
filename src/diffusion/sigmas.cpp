// Lists of noise levels that visit timesteps of a schedule.
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

constexpr double kSameLevel = 1e-6;  // relative; rounding is about 1e-16, a step at least 1e-3

void check_steps(int64_t steps, int64_t most) {
  if (steps < 1 || steps > most) {
    throw bad_input("steps", "1 to " + std::to_string(most), std::to_string(steps));
  }
}

// A flow's t_index of the time s in (0, 1], shifted towards noise by flow_shift.
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

// The sigma of t, linear in t between table entries, as diffusers' "interpolation_type": "linear".
double linear_sigma_of_t(const Schedule& schedule, double t) {
  const double low = std::floor(t), part = t - low;
  if (part == 0.0) return schedule.sigma_of_t(t);
  return (1.0 - part) * schedule.sigma_of_t(low) + part * schedule.sigma_of_t(low + 1.0);
}

double timestep(const SigmaOptions& options, int64_t i, int64_t n, int64_t train_steps) {
  const auto N = static_cast<double>(train_steps);
  const auto index = static_cast<double>(i), count = static_cast<double>(n);
  // DPM-Solver's schedulers place one step more and leave out its t = 0.
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

// The rules below visit entries of the schedule's table; they do not read the ends of the range.

SigmaList normal_levels(const SigmaRange& r) {
  SigmaList sigmas;
  const bool linear = r.options.linear_interpolation && !r.schedule.is_flow();
  for (double t : spaced_timesteps(r.schedule, r.steps, r.options)) {
    sigmas.push_back(linear ? linear_sigma_of_t(r.schedule, t) : r.schedule.sigma_of_t(t));
  }
  return sigmas;
}

SigmaList sgm_uniform_levels(const SigmaRange& r) {
  check_steps(r.steps, r.schedule.num_train_timesteps());
  const double last = static_cast<double>(r.schedule.num_train_timesteps() - 1);
  SigmaList sigmas;
  for (int64_t i = 0; i < r.steps; ++i) {
    sigmas.push_back(table_sigma(
        r.schedule, last * static_cast<double>(r.steps - i) / static_cast<double>(r.steps)));
  }
  return sigmas;
}

SigmaList simple_levels(const SigmaRange& r) {
  check_steps(r.steps, r.schedule.num_train_timesteps());
  const auto N = static_cast<double>(r.schedule.num_train_timesteps());
  const double stride = N / static_cast<double>(r.steps);
  SigmaList sigmas;
  for (int64_t i = 0; i < r.steps; ++i) {
    sigmas.push_back(
        table_sigma(r.schedule, N - 1.0 - std::floor(static_cast<double>(i) * stride)));
  }
  return sigmas;
}

// Where the number of steps does not divide N there may be more levels than steps, as in the web
// UIs: 31 for 30.
SigmaList ddim_uniform_levels(const SigmaRange& r) {
  check_steps(r.steps, r.schedule.num_train_timesteps());
  const int64_t N = r.schedule.num_train_timesteps(), stride = std::max<int64_t>(N / r.steps, 1);
  SigmaList sigmas;
  for (int64_t t = 1; t < N; t += stride) {
    sigmas.push_back(table_sigma(r.schedule, static_cast<double>(t)));
  }
  std::reverse(sigmas.begin(), sigmas.end());
  return sigmas;
}

SigmaList lcm_levels(const SigmaRange& r) {
  SigmaList sigmas;
  for (double t : lcm_timesteps(r.schedule, r.steps, r.options.original_inference_steps)) {
    sigmas.push_back(table_sigma(r.schedule, t));
  }
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

const std::vector<SigmaRule>& sigma_rules() {
  static const std::vector<SigmaRule> all = [] {
    std::vector<SigmaRule> rules = {
        {.name = "normal",
         .web_name = "Normal",
         .other_names = {"uniform"},
         .summary = "the schedule's own levels, at timesteps by `spacing`",
         .levels = normal_levels,
         .of_timesteps = true},
        {.name = "sgm_uniform",
         .web_name = "SGM Uniform",
         .summary = "n + 1 equal parts of t from N - 1 to 0, without the last",
         .levels = sgm_uniform_levels},
        {.name = "simple",
         .web_name = "Simple",
         .summary = "every (N / n)-th level of the table, from its end",
         .levels = simple_levels},
        {.name = "ddim_uniform",
         .web_name = "DDIM",
         .summary = "every floor(N / n)-th level of the table from t 1 up",
         .levels = ddim_uniform_levels},
        {.name = "lcm",
         .web_name = "LCM",
         .other_names = {"LCMScheduler"},
         .summary = "every k-th of the 50 timesteps of distillation, up to 50 steps",
         .levels = lcm_levels},
    };
    const auto& curves = sigma_curve_rules();
    rules.insert(rules.end(), curves.begin(), curves.end());
    return rules;
  }();
  return all;
}

const SigmaRule& find_sigma_rule(const std::string& name) {
  std::string known;
  for (const SigmaRule& rule : sigma_rules()) {
    if (rule.name == name) return rule;
    known += (known.empty() ? "one of " : ", ") + rule.name;
  }
  throw bad_input("schedule", known, "\"" + name + "\"");
}

std::vector<double> spaced_timesteps(const Schedule& schedule, int64_t steps,
                                     const SigmaOptions& options) {
  const int64_t n_train = schedule.num_train_timesteps();
  const bool one_more = options.timestep_rule == TimestepRule::kDpmSolver && !schedule.is_flow();
  check_steps(steps, one_more ? n_train - 1 : n_train);
  std::vector<double> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    if (schedule.is_flow()) {
      // s takes the values 1, ..., 1/n, the ends of n equal parts of the line, which are then
      // shifted towards noise.
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
  const SigmaRule& rule = find_sigma_rule(name);
  const auto [least, most] =
      rule.own_ends.value_or(std::pair(schedule.sigma_min(), schedule.sigma_max()));
  SigmaRange range{schedule, steps, options, options.sigma_min.value_or(least),
                   options.sigma_max.value_or(most)};
  if (rule.is_curve && !rule.own_ends && options.ends_of_timesteps) {
    const SigmaList visited = normal_levels(range);
    range.high = options.sigma_max.value_or(visited.front());
    // A single step has only one end; the curve does not reach the other.
    if (steps > 1) range.low = options.sigma_min.value_or(visited.back());
  }
  SigmaList sigmas = rule.levels(range);
  const double lowest = rule.own_ends ? range.low : schedule.sigma_min();
  const double end = options.final_sigma == FinalSigma::kZero ? 0.0 : lowest;
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
