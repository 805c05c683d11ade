// The list of noise levels that a sampler visits, from most noise to none: plain data, built once,
// printed, golden-tested. Sources: spacings, Lin et al. 2023 table 2 and diffusers; karras / EDM,
// Karras et al. 2022 equation 5; polyexponential, k-diffusion; sgm_uniform, simple, ddim_uniform,
// ComfyUI and A1111's web UI; beta, Lee et al. 2024; align_your_steps, Sabour et al. 2024; lcm, Luo
// et al. 2023; legacy_ddpm, the discretisation of SDXL's and PanGu-Draw 3's reference samplers.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/schedule.h"

namespace pangu::diffusion {

// n + 1 strictly decreasing values for n steps; the last is 0.
using SigmaList = std::vector<double>;

// A little above sigma, so that what begins or ends at a level takes that level along also where a
// sampler computed it anew (sqrt(sigma sigma_down) is the next level but for rounding) and is off
// by last bits. Levels of a list lie much farther apart than this.
double just_above(double sigma);

enum class Spacing {
  kLeading,     // t = i * floor(N / n) + steps_offset
  kLinspace,    // n values from N - 1 to 0, both ends included (one alone: N - 1)
  kTrailing,    // t = round(N - i * N / n) - 1
  kLegacyDdpm,  // t = floor(linspace(N - 1, 0, n, without the end))
};
// The same spacing is three things in diffusers, by the family of the scheduler (Sampler::
// timestep_rule). Rounding is half to even.
enum class TimestepRule {
  kEuler,      // as written above; linspace is not rounded
  kDdim,       // linspace is rounded
  kDpmSolver,  // leading and linspace as kDdim for n + 1 steps, without the last
};
// Where the last step ends; names of diffusers' final_sigmas_type.
enum class FinalSigma {
  kZero,      // "zero"
  kSigmaMin,  // "sigma_min", also DDIM's set_alpha_to_one = false. A list that is there already is
              // not made longer, and so has one step less.
};
// Tables of align_your_steps.
enum class AlignYourSteps { kSd15, kSdxl };

struct SigmaOptions {
  Spacing spacing = Spacing::kLinspace;
  TimestepRule timestep_rule = TimestepRule::kEuler;
  int64_t steps_offset = 1;  // kLeading only; 1 for Stable Diffusion; less where t would leave N
  // Between table entries: sigma, not log(sigma), is linear in t.
  bool linear_interpolation = false;
  std::optional<double> rho;  // karras, edm: 7; polyexponential: 1
  // karras, exponential, polyexponential, beta: the schedule's ends unless given, or, as diffusers'
  // schedulers of the Euler family, the sigmas of the first and last timestep of `spacing`.
  std::optional<double> sigma_min, sigma_max;
  bool ends_of_timesteps = false;
  FinalSigma final_sigma = FinalSigma::kZero;
  AlignYourSteps align_your_steps = AlignYourSteps::kSd15;
  int64_t original_inference_steps = 50;  // lcm
};

// What a rule places levels by: a schedule, a number of steps, options, and the ends that a curve
// goes between.
struct SigmaRange {
  const Schedule& schedule;
  int64_t steps;
  const SigmaOptions& options;
  double low, high;
};

// A rule that places noise levels: an entry of the table.
struct SigmaRule {
  std::string name;  // of flags and files
  // What others call it, as Sampler::web_name and other_names.
  std::string web_name = {};
  std::vector<std::string> other_names = {};
  std::string summary;  // for people
  // The levels above the end, falling, one a step.
  SigmaList (*levels)(const SigmaRange&) = nullptr;
  bool of_timesteps = false;  // it visits the timesteps of SigmaOptions::spacing
  // A curve between sigma_min and sigma_max, which may be those of timesteps (ends_of_timesteps)...
  bool is_curve = false;
  // ... or, unless given, its own {sigma_min, sigma_max}, whatever the schedule's.
  std::optional<std::pair<double, double>> own_ends = {};
};
const std::vector<SigmaRule>& sigma_rules();
// Those of them that need no table of a schedule.
const std::vector<SigmaRule>& sigma_curve_rules();
// kBadInput lists the names.
const SigmaRule& find_sigma_rule(const std::string& name);

// kBadInput for an unknown name, steps outside [1, N] (lists that visit timesteps: [1, N - 1] with
// kDpmSolver, [1, original_inference_steps] for lcm) or [1, 10000] (the others), or a range that is
// empty.
SigmaList make_sigmas(const std::string& name, const Schedule& schedule, int64_t steps,
                      const SigmaOptions& options = {});

// The steps of an image-to-image drawing: the last min(int(n strength), n) of n, as diffusers'
// get_timesteps. kBadInput unless 0 <= strength <= 1 and a step is left.
SigmaList tail_of(const SigmaList& sigmas, double strength);

// The list with its last value raised to `end`: a step that would begin there or below is left out,
// unless it is the only one, which then ends at 0.
SigmaList ending_at(SigmaList sigmas, double end);

// The t_index of each step of "normal" (n values, decreasing); for flow, shifted by flow_shift.
std::vector<double> spaced_timesteps(const Schedule& schedule, int64_t steps,
                                     const SigmaOptions& options = {});
// Of "lcm": n of the first int(original_steps * strength) multiples of floor(N / original_steps),
// less 1.
std::vector<double> lcm_timesteps(const Schedule& schedule, int64_t steps,
                                  int64_t original_steps = 50, double strength = 1.0);

// n values from sigma_max to sigma_min (one step: sigma_max alone), then 0.
SigmaList karras_sigmas(int64_t steps, double sigma_min, double sigma_max, double rho = 7.0);
SigmaList exponential_sigmas(int64_t steps, double sigma_min, double sigma_max);
SigmaList polyexponential_sigmas(int64_t steps, double sigma_min, double sigma_max,
                                 double rho = 1.0);
SigmaList beta_sigmas(int64_t steps, double sigma_min, double sigma_max, double alpha = 0.6,
                      double beta = 0.6);
// The published 11 levels of a table, or as many between them as asked for; the last becomes 0.
SigmaList align_your_steps_sigmas(int64_t steps, AlignYourSteps table);

Spacing spacing_from(const std::string& name);  // "leading", "linspace", "trailing", "legacy_ddpm"
std::string to_string(Spacing spacing);
FinalSigma final_sigma_from(const std::string& name);  // "zero", "sigma_min"
std::string to_string(FinalSigma final_sigma);
std::string to_string(const SigmaList& sigmas);  // "14.6146 10.7468 ... 0"

}  // namespace pangu::diffusion
