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

// Returns a value slightly above sigma, so that a range that ends at a level holds that level also
// where a sampler computed it anew and is off in the last bits (sqrt(sigma sigma_down) is the next
// level but for rounding). Levels of a list lie much farther apart than this.
double just_above(double sigma);

enum class Spacing {
  kLeading,     // t = i * floor(N / n) + steps_offset
  kLinspace,    // n values from N - 1 to 0, both ends included (n = 1: N - 1)
  kTrailing,    // t = round(N - i * N / n) - 1
  kLegacyDdpm,  // t = floor(linspace(N - 1, 0, n, without the end))
};
// diffusers' schedulers place the timesteps of one spacing in three ways; Sampler::timestep_rule
// says which. Halves are rounded to even.
enum class TimestepRule {
  kEuler,      // as written above; linspace is not rounded
  kDdim,       // linspace is rounded
  kDpmSolver,  // as kDdim for n + 1 steps, without the last (leading, linspace)
};
// Where the last step ends, with the names of diffusers' final_sigmas_type.
enum class FinalSigma {
  kZero,  // "zero"
  // "sigma_min", which is also DDIM's set_alpha_to_one = false. A list that visits sigma_min
  // already is not made longer, and so has one step fewer.
  kSigmaMin,
};
// The tables of align_your_steps.
enum class AlignYourSteps { kSd15, kSdxl };

struct SigmaOptions {
  Spacing spacing = Spacing::kLinspace;
  TimestepRule timestep_rule = TimestepRule::kEuler;
  int64_t steps_offset = 1;  // kLeading only; 1 for Stable Diffusion; cut where t would reach N
  // Whether sigma is linear in t between table entries, rather than log(sigma).
  bool linear_interpolation = false;
  std::optional<double> rho;  // karras, edm: 7; polyexponential: 1
  // The ends of karras, exponential, polyexponential and beta. Unset: the schedule's ends, or, with
  // ends_of_timesteps, the sigmas of the first and last timestep of `spacing`, as in diffusers'
  // schedulers of the Euler family.
  std::optional<double> sigma_min, sigma_max;
  bool ends_of_timesteps = false;
  FinalSigma final_sigma = FinalSigma::kZero;
  AlignYourSteps align_your_steps = AlignYourSteps::kSd15;
  int64_t original_inference_steps = 50;  // lcm
};

// What a rule needs to place levels: a schedule, a number of steps, options, and the ends of a
// curve.
struct SigmaRange {
  const Schedule& schedule;
  int64_t steps;
  const SigmaOptions& options;
  double low, high;
};

// A rule that places noise levels: an entry of the table of rules.
struct SigmaRule {
  std::string name;  // as flags and configuration files spell it
  // How others spell it, as Sampler::web_name and other_names.
  std::string web_name = {};
  std::vector<std::string> other_names = {};
  std::string summary;  // shown to people
  // Returns the levels above the end in falling order, one a step.
  SigmaList (*levels)(const SigmaRange&) = nullptr;
  bool of_timesteps = false;  // whether it visits the timesteps of SigmaOptions::spacing
  // Whether it is a curve between sigma_min and sigma_max, which may be those of timesteps
  // (SigmaOptions::ends_of_timesteps).
  bool is_curve = false;
  // Its own {sigma_min, sigma_max}, used where the options give none, whatever the schedule's ends
  // are.
  std::optional<std::pair<double, double>> own_ends = {};
};
const std::vector<SigmaRule>& sigma_rules();
// The rules of sigma_rules() that need no table of a schedule.
const std::vector<SigmaRule>& sigma_curve_rules();
// The rule of this name. Throws kBadInput, which lists the names, if there is none.
const SigmaRule& find_sigma_rule(const std::string& name);

// The list of a rule by its name. Throws kBadInput for an unknown name, an empty range, or a bad
// number of steps. A list that visits timesteps may have 1 to N steps (with kDpmSolver to N - 1,
// lcm to original_inference_steps), any other 1 to 10000.
SigmaList make_sigmas(const std::string& name, const Schedule& schedule, int64_t steps,
                      const SigmaOptions& options = {});

// The steps of an image-to-image drawing: the last min(int(n strength), n) of n steps, as
// diffusers' get_timesteps has them. Throws kBadInput unless 0 <= strength <= 1 and a step is left.
SigmaList tail_of(const SigmaList& sigmas, double strength);

// Returns the list with its last value raised to `end`. A step that would begin at `end` or below
// is left out, unless it is the only one, which then ends at 0.
SigmaList ending_at(SigmaList sigmas, double end);

// Returns the t_index of each step of "normal" (n values, decreasing); those of a flow are shifted
// by flow_shift.
std::vector<double> spaced_timesteps(const Schedule& schedule, int64_t steps,
                                     const SigmaOptions& options = {});
// The timesteps of "lcm": n of the first int(original_steps * strength) multiples of floor(N /
// original_steps), each less 1.
std::vector<double> lcm_timesteps(const Schedule& schedule, int64_t steps,
                                  int64_t original_steps = 50, double strength = 1.0);

// These curves have n values from sigma_max to sigma_min (one step: sigma_max alone), then 0.
SigmaList karras_sigmas(int64_t steps, double sigma_min, double sigma_max, double rho = 7.0);
SigmaList exponential_sigmas(int64_t steps, double sigma_min, double sigma_max);
SigmaList polyexponential_sigmas(int64_t steps, double sigma_min, double sigma_max,
                                 double rho = 1.0);
SigmaList beta_sigmas(int64_t steps, double sigma_min, double sigma_max, double alpha = 0.6,
                      double beta = 0.6);
// The published 11 levels of a table; for another number of steps, levels interpolated between
// them. The last becomes 0.
SigmaList align_your_steps_sigmas(int64_t steps, AlignYourSteps table);

Spacing spacing_from(const std::string& name);  // "leading", "linspace", "trailing", "legacy_ddpm"
std::string to_string(Spacing spacing);
FinalSigma final_sigma_from(const std::string& name);  // "zero", "sigma_min"
std::string to_string(FinalSigma final_sigma);
std::string to_string(const SigmaList& sigmas);  // "14.6146 10.7468 ... 0"

}  // namespace pangu::diffusion
