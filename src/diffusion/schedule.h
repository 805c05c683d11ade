// The noise levels of training: which sigma a network's time index stands for, as tables in double
// on the host. Which levels a sampler visits is in sigmas.h. Sources: linear, Ho et al. 2020;
// squared cosine, Nichol and Dhariwal 2021; zero terminal SNR, Lin et al. 2023; rectified flow, Liu
// et al. 2022, Esser et al. 2024.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pangu::diffusion {

enum class BetaSchedule {
  kLinear,         // beta from beta_start to beta_end                 "linear"
  kScaledLinear,   // sqrt(beta) from sqrt(start) to sqrt(end), SD     "scaled_linear"
  kSquaredCosine,  // ab(u) = cos^2((u + 0.008) / 1.008 * pi / 2)      "squaredcos_cap_v2"
  kFlow,           // straight line from data to noise                 "flow"
};
BetaSchedule beta_schedule_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(BetaSchedule kind);

// Names and defaults of diffusers' scheduler_config.json; beta_* are those of Stable Diffusion,
// SDXL and PanGu-Draw 3.
struct ScheduleConfig {
  BetaSchedule beta_schedule = BetaSchedule::kScaledLinear;
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.00085;
  double beta_end = 0.012;
  std::vector<double> trained_betas = {};  // num_train_timesteps values, in place of the schedule
  bool rescale_betas_zero_snr = false;
  double flow_shift = 1.0;  // kFlow: where sampling places its steps, s -> k s / (1 + (k - 1) s)
  void validate() const;    // kBadInput names the field
};

// The network's own input is x_net = signal * x0 + noise * eps.
// VP (all but kFlow): signal = sqrt(ab), noise = sqrt(1 - ab). Flow: signal = 1 - s, noise = s.
struct Coefficients {
  double signal = 1.0;
  double noise = 0.0;
};

// The variable over which samplers that add up slopes (heun, dpm2, lms) integrate the path from
// noise to data.
enum class PathVariable {
  // x = x0 + sigma eps over sigma, as Karras et al. 2022 and k-diffusion do.
  kSigma,
  // (1 - s) x0 + s eps over s = sigma / (1 + sigma), a flow's own time. It is the same path, and
  // its slope eps - x0 is finite up to pure noise. There sigma is infinite, and a small error in a
  // slope over sigma would be multiplied by a step of thousands.
  kFlowTime,
};

// Immutable after construction; a copy costs three tables of N doubles.
//
// VP:   sigma = sqrt((1 - ab) / ab), x_net = x / sqrt(1 + sigma^2), t_index in [0, N - 1].
// Flow: x_s = (1 - s) x0 + s eps divided by (1 - s) is x0 + s / (1 - s) eps. Therefore
//       sigma = s / (1 - s), s = sigma / (1 + sigma), x_net = x / (1 + sigma), and t_index = N s in
//       [0, N]. An Euler step of this VE form is exactly the Euler step of the flow, since both
//       keep x0 and eps and change the mixture.
// At ab = 0 (zero terminal SNR) and at s = 1 sigma is infinite. Sampling uses the finite sigma of
// ab = 2^-24, which is 4096, and of s = 1 - 2^-12, which is 4095; coefficients_at() stays exact.
class Schedule {
 public:
  explicit Schedule(const ScheduleConfig& config = {});

  const ScheduleConfig& config() const { return config_; }
  int64_t num_train_timesteps() const { return config_.num_train_timesteps; }
  bool is_flow() const { return config_.beta_schedule == BetaSchedule::kFlow; }
  // N values in order of t_index; empty for kFlow.
  const std::vector<double>& alpha_bars() const { return alpha_bars_; }

  // The sigma of a time. Between table entries log(sigma) is linear in t_index (k-diffusion's
  // convention); an integer t_index gives the table's own value bit for bit. t_index is clamped to
  // the range of the table.
  double sigma_of_t(double t_index) const;
  // The inverse of sigma_of_t, clamped likewise. t_of_sigma(sigma_of_t(i)) == i exactly for integer
  // i.
  double t_of_sigma(double sigma) const;
  double sigma_min() const;  // of t_index 0 (VP), of t_index 1 (flow)
  double sigma_max() const;  // of the last t_index

  // kFlowTime for flows and for schedules that end in pure or nearly pure noise (zero terminal SNR,
  // squared cosine, DDPM's linear betas), else kSigma.
  PathVariable path_variable() const;

  // x_net = input_scale(sigma) * x.
  double input_scale(double sigma) const;
  Coefficients coefficients(double sigma) const;
  // The coefficients at a training index in [0, N), exact also where sigma is infinite.
  Coefficients coefficients_at(int64_t t_index) const;

 private:
  ScheduleConfig config_;
  std::vector<double> alpha_bars_, sigmas_, log_sigmas_;
};

// The N betas of one of the three VP kinds, for golden tests and tools.
std::vector<double> make_betas(const ScheduleConfig& config);
// Shifts and scales sqrt(ab) so that the last is 0 and the first is kept (Lin et al. 2023,
// algorithm 1).
std::vector<double> rescale_zero_terminal_snr(const std::vector<double>& alpha_bars);

}  // namespace pangu::diffusion
