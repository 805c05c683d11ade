// The list of noise levels that a sampler visits, from most noise to none: plain data, built once,
// printed, golden-tested. Sources: spacings, Lin et al. 2023 table 2; karras / EDM, Karras et al.
// 2022 equation 5; legacy_ddpm, the discretisation of SDXL's and PanGu-Draw 3's reference samplers.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "diffusion/schedule.h"

namespace pangu::diffusion {

// n + 1 strictly decreasing values for n steps; the last is 0.
using SigmaList = std::vector<double>;

enum class Spacing {
  kLeading,     // t = i * floor(N / n) + steps_offset
  kLinspace,    // n values from N - 1 to 0, both ends included
  kTrailing,    // t = round(N - i * N / n) - 1
  kLegacyDdpm,  // t = floor(linspace(N - 1, 0, n, without the end))
};
// Field-standard names of the lists that make_sigmas knows:
//   "normal"       the schedule's own sigmas at the t of `spacing`
//   "karras"       rho-spaced between sigma_max and sigma_min, rho 7 by default
//   "exponential"  geometric between them
//   "edm"          as karras with sigma_min 0.002, sigma_max 80, rho 7 unless given
std::vector<std::string> sigma_list_names();

struct SigmaOptions {
  Spacing spacing = Spacing::kLinspace;
  int64_t steps_offset = 1;  // kLeading only; 1 for Stable Diffusion
  bool linear_interpolation =
      false;         // between table entries: sigma, not log(sigma), is linear in t
  double rho = 7.0;  // karras, edm
  std::optional<double> sigma_min,
      sigma_max;  // karras, exponential: the schedule's ends unless given
};

// kBadInput for an unknown name, steps outside [1, N] ("normal") or [1, 10000], or a range that is
// empty.
SigmaList make_sigmas(const std::string& name, const Schedule& schedule, int64_t steps,
                      const SigmaOptions& options = {});

// The t_index of each step of "normal" (n values, decreasing); for flow, shifted by flow_shift.
std::vector<double> spaced_timesteps(const Schedule& schedule, int64_t steps,
                                     const SigmaOptions& options = {});
SigmaList karras_sigmas(int64_t steps, double sigma_min, double sigma_max, double rho = 7.0);
SigmaList exponential_sigmas(int64_t steps, double sigma_min, double sigma_max);

Spacing spacing_from(const std::string& name);  // "leading", "linspace", "trailing", "legacy_ddpm"
std::string to_string(Spacing spacing);
std::string to_string(const SigmaList& sigmas);  // "14.6146 10.7468 ... 0"

}  // namespace pangu::diffusion
