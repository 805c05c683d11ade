// Tables of alpha-bar and sigma, and the conversions between a time index and a noise level.
#include "diffusion/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/enum_names.h"

namespace pangu::diffusion {
namespace {

constexpr EnumName<BetaSchedule> kBetaScheduleNames[] = {
    {BetaSchedule::kLinear, "linear"},
    {BetaSchedule::kScaledLinear, "scaled_linear"},
    {BetaSchedule::kSquaredCosine, "squaredcos_cap_v2"},
    {BetaSchedule::kFlow, "flow"},
};

constexpr double kCosineOffset = 0.008;  // Nichol and Dhariwal 2021, section 3.2
constexpr double kCosineMaxBeta = 0.999;
// The finite values that stand for no signal at all; diffusers uses 2^-24 too. (The squared cosine
// ends below it, at 2.4e-9, and keeps its own value: only an exact 0 is replaced.)
constexpr double kAlphaBarForZero = 0x1p-24;
constexpr double kLargestFlowTime = 1.0 - 0x1p-12;
// From this sigma on, a latent counts as pure noise: x0 is a hundredth of it. (Stable Diffusion
// ends at 14.6; DDPM's linear betas end at 157, where eight steps of Heun on a Gaussian were five
// times as far off as Euler's.)
constexpr double kAlmostPureNoise = 100.0;

double sigma_of_alpha_bar(double alpha_bar) { return std::sqrt((1.0 - alpha_bar) / alpha_bar); }

double sigma_of_flow_time(double s) {
  const double capped = std::clamp(s, 0.0, kLargestFlowTime);
  return capped / (1.0 - capped);
}

double cosine_alpha_bar(double u) {
  const double c = std::cos((u + kCosineOffset) / (1.0 + kCosineOffset) * std::numbers::pi / 2.0);
  return c * c;
}

}  // namespace

BetaSchedule beta_schedule_from(const std::string& name) {
  return enum_from(kBetaScheduleNames, "beta_schedule", name);
}
std::string to_string(BetaSchedule kind) { return enum_name(kBetaScheduleNames, kind); }

void ScheduleConfig::validate() const {
  if (num_train_timesteps < 2 || num_train_timesteps > 1'000'000) {
    throw bad_input("num_train_timesteps", "2 to 1000000", std::to_string(num_train_timesteps));
  }
  const bool from_betas =
      beta_schedule == BetaSchedule::kLinear || beta_schedule == BetaSchedule::kScaledLinear;
  if (from_betas && !(0.0 < beta_start && beta_start <= beta_end && beta_end < 1.0)) {
    throw bad_input("beta_start, beta_end", "0 < beta_start <= beta_end < 1",
                    std::to_string(beta_start) + ", " + std::to_string(beta_end));
  }
  if (!trained_betas.empty() && static_cast<int64_t>(trained_betas.size()) != num_train_timesteps) {
    throw bad_input("trained_betas",
                    std::to_string(num_train_timesteps) + " numbers, one a timestep",
                    std::to_string(trained_betas.size()));
  }
  for (const double beta : trained_betas) {
    if (!(beta > 0.0 && beta < 1.0)) {
      throw bad_input("trained_betas", "numbers above 0 and below 1", std::to_string(beta));
    }
  }
  if (beta_schedule == BetaSchedule::kFlow && !trained_betas.empty()) {
    throw bad_input("trained_betas", "none for a flow, which has no betas", "numbers");
  }
  if (beta_schedule == BetaSchedule::kFlow && rescale_betas_zero_snr) {
    throw bad_input("rescale_betas_zero_snr", "false for beta_schedule \"flow\"", "true",
                    "a flow ends in pure noise as it is");
  }
  if (!(flow_shift > 0.0 && std::isfinite(flow_shift))) {
    throw bad_input("flow_shift", "a number above 0", std::to_string(flow_shift));
  }
}

std::vector<double> make_betas(const ScheduleConfig& config) {
  if (!config.trained_betas.empty()) return config.trained_betas;
  const int64_t n = config.num_train_timesteps;
  std::vector<double> betas(n);
  const double root_start = std::sqrt(config.beta_start), root_end = std::sqrt(config.beta_end);
  for (int64_t i = 0; i < n; ++i) {
    const double u = static_cast<double>(i) / static_cast<double>(n - 1);
    switch (config.beta_schedule) {
      case BetaSchedule::kLinear:
        betas[i] = config.beta_start + (config.beta_end - config.beta_start) * u;
        break;
      case BetaSchedule::kScaledLinear: {
        const double root = root_start + (root_end - root_start) * u;
        betas[i] = root * root;
        break;
      }
      case BetaSchedule::kSquaredCosine: {
        const double here = cosine_alpha_bar(static_cast<double>(i) / n);
        const double next = cosine_alpha_bar(static_cast<double>(i + 1) / n);
        betas[i] = std::min(1.0 - next / here, kCosineMaxBeta);
        break;
      }
      case BetaSchedule::kFlow:
        throw Error(ErrorCode::kInternal, "make_betas: a flow has no betas");
    }
  }
  return betas;
}

std::vector<double> rescale_zero_terminal_snr(const std::vector<double>& alpha_bars) {
  const double first = std::sqrt(alpha_bars.front()), last = std::sqrt(alpha_bars.back());
  std::vector<double> rescaled;
  rescaled.reserve(alpha_bars.size());
  for (double alpha_bar : alpha_bars) {
    const double root = (std::sqrt(alpha_bar) - last) * first / (first - last);
    rescaled.push_back(root * root);
  }
  return rescaled;
}

Schedule::Schedule(const ScheduleConfig& config) : config_(config) {
  config_.validate();
  if (is_flow()) return;
  double alpha_bar = 1.0;
  for (double beta : make_betas(config_)) alpha_bars_.push_back(alpha_bar *= 1.0 - beta);
  if (config_.rescale_betas_zero_snr) alpha_bars_ = rescale_zero_terminal_snr(alpha_bars_);
  for (double ab : alpha_bars_) {
    // The value must lie below the last alpha-bar but one, or the table of sigmas would not
    // increase.
    if (ab == 0.0) ab = std::min(kAlphaBarForZero, *(alpha_bars_.end() - 2) / 2.0);
    sigmas_.push_back(sigma_of_alpha_bar(ab));
    log_sigmas_.push_back(std::log(sigmas_.back()));
  }
}

double Schedule::sigma_of_t(double t_index) const {
  if (is_flow()) return sigma_of_flow_time(t_index / static_cast<double>(num_train_timesteps()));
  const double t = std::clamp(t_index, 0.0, static_cast<double>(sigmas_.size() - 1));
  const auto low = static_cast<size_t>(t);
  const double part = t - static_cast<double>(low);
  if (part == 0.0) return sigmas_[low];
  return std::exp((1.0 - part) * log_sigmas_[low] + part * log_sigmas_[low + 1]);
}

double Schedule::t_of_sigma(double sigma) const {
  if (is_flow()) {
    const double s = std::clamp(sigma / (1.0 + sigma), 0.0, kLargestFlowTime);
    return s * static_cast<double>(num_train_timesteps());
  }
  const auto above = std::upper_bound(sigmas_.begin(), sigmas_.end(), sigma);
  if (above == sigmas_.begin()) return 0.0;
  const auto low = static_cast<size_t>(above - sigmas_.begin()) - 1;
  if (above == sigmas_.end() || sigmas_[low] == sigma) return static_cast<double>(low);
  const double span = log_sigmas_[low + 1] - log_sigmas_[low];
  return static_cast<double>(low) + (std::log(sigma) - log_sigmas_[low]) / span;
}

double Schedule::sigma_min() const { return sigma_of_t(is_flow() ? 1.0 : 0.0); }
double Schedule::sigma_max() const {
  return sigma_of_t(static_cast<double>(num_train_timesteps() - (is_flow() ? 0 : 1)));
}

PathVariable Schedule::path_variable() const {
  return is_flow() || sigma_max() > kAlmostPureNoise ? PathVariable::kFlowTime
                                                     : PathVariable::kSigma;
}

double Schedule::input_scale(double sigma) const {
  return is_flow() ? 1.0 / (1.0 + sigma) : 1.0 / std::sqrt(1.0 + sigma * sigma);
}

Coefficients Schedule::coefficients(double sigma) const {
  const double signal = input_scale(sigma);
  return {signal, sigma * signal};
}

Coefficients Schedule::coefficients_at(int64_t t_index) const {
  if (t_index < 0 || t_index >= num_train_timesteps()) {
    throw Error(ErrorCode::kInternal, "t_index: expected 0 to " +
                                          std::to_string(num_train_timesteps() - 1) + ", found " +
                                          std::to_string(t_index));
  }
  if (is_flow()) {
    const double s = static_cast<double>(t_index) / static_cast<double>(num_train_timesteps());
    return {1.0 - s, s};
  }
  return {std::sqrt(alpha_bars_[t_index]), std::sqrt(1.0 - alpha_bars_[t_index])};
}

}  // namespace pangu::diffusion
