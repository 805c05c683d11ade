// Coefficients per sample in double, cast once, then plain tensor arithmetic that autograd follows.
#include "diffusion/loss.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/enum_names.h"

namespace pangu::diffusion {
namespace {

constexpr EnumName<LossWeighting> kLossWeightingNames[] = {
    {LossWeighting::kNone, "none"},
    {LossWeighting::kEpsilon, "epsilon"},
    {LossWeighting::kMinSnr, "min_snr"},
    {LossWeighting::kEdm, "edm"},
};

at::ScalarType working_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Returns value(t_index[b]) as [B,1,1,...] in the working type of `like`, on its device.
template <class Function>
at::Tensor per_sample(const at::Tensor& t_index, const at::Tensor& like, Function value) {
  if (t_index.dim() != 1 || t_index.scalar_type() != at::kLong || t_index.size(0) != like.size(0)) {
    throw Error(ErrorCode::kInternal, "t_index: expected one int64 per sample of the batch");
  }
  const at::Tensor host = t_index.cpu().contiguous();
  at::Tensor values = at::empty(host.sizes(), at::kDouble);
  for (int64_t b = 0; b < host.size(0); ++b) {
    values.mutable_data_ptr<double>()[b] = value(host.const_data_ptr<int64_t>()[b]);
  }
  std::vector<int64_t> shape(like.dim(), 1);
  shape[0] = host.size(0);
  return values.reshape(shape).to(like.device(), working_type(like));
}

// Returns of_x0 * x0 + of_eps * noise with coefficients per sample.
template <class Function>
at::Tensor mixture(const at::Tensor& x0, const at::Tensor& t_index, const at::Tensor& noise,
                   Function coefficients) {
  if (x0.sizes() != noise.sizes()) {
    throw Error(ErrorCode::kInternal, "loss: x0 and noise differ in shape");
  }
  const at::Tensor of_x0 =
      per_sample(t_index, x0, [&](int64_t t) { return coefficients(t).signal; });
  const at::Tensor of_eps =
      per_sample(t_index, x0, [&](int64_t t) { return coefficients(t).noise; });
  return x0.to(working_type(x0)) * of_x0 + noise.to(working_type(x0)) * of_eps;
}

}  // namespace

LossWeighting loss_weighting_from(const std::string& name) {
  return enum_from(kLossWeightingNames, "loss weighting", name);
}
std::string to_string(LossWeighting weighting) { return enum_name(kLossWeightingNames, weighting); }

void LossConfig::validate(const Schedule& schedule) const {
  const int64_t n = schedule.num_train_timesteps();
  if (!(0 <= min_timestep && min_timestep < max_timestep && max_timestep <= n)) {
    throw bad_input("min_timestep, max_timestep",
                    "0 <= min_timestep < max_timestep <= " + std::to_string(n),
                    std::to_string(min_timestep) + ", " + std::to_string(max_timestep));
  }
  const bool cut = weighting == LossWeighting::kMinSnr || weighting == LossWeighting::kEdm;
  if (cut && !(snr_gamma > 0.0 && std::isfinite(snr_gamma))) {
    throw bad_input("snr_gamma", "a number above 0", std::to_string(snr_gamma));
  }
  if (weighting == LossWeighting::kEdm && !(sigma_data > 0.0 && std::isfinite(sigma_data))) {
    throw bad_input("sigma_data", "a number above 0", std::to_string(sigma_data));
  }
  if (!(noise_offset >= 0.0 && std::isfinite(noise_offset))) {
    throw bad_input("noise_offset", "0 or more", std::to_string(noise_offset));
  }
  if (!std::isfinite(loss_weight(*this, schedule, min_timestep))) {
    throw bad_input("loss weighting", "a finite weight at every timestep",
                    "an infinite one at " + std::to_string(min_timestep), "raise min_timestep");
  }
}

int64_t t_index_of_part(const LossConfig& config, double draw, int64_t position, int64_t batch) {
  const int64_t range = config.max_timestep - config.min_timestep;
  const double share = (double(position) + draw) / double(batch);
  return config.min_timestep + std::min(range - 1, static_cast<int64_t>(share * double(range)));
}

at::Tensor offset_noise(const at::Tensor& noise, const at::Tensor& per_channel,
                        double noise_offset) {
  return noise_offset == 0.0 ? noise : noise + per_channel * noise_offset;
}

at::Tensor noisy_input(const at::Tensor& x0, const at::Tensor& t_index, const at::Tensor& noise,
                       const Schedule& schedule) {
  return mixture(x0, t_index, noise, [&](int64_t t) { return schedule.coefficients_at(t); });
}

at::Tensor target(const at::Tensor& x0, const at::Tensor& t_index, const at::Tensor& noise,
                  const Schedule& schedule, Parameterisation parameterisation) {
  return mixture(x0, t_index, noise, [&](int64_t t) {
    return prediction_coefficients(parameterisation, schedule.coefficients_at(t));
  });
}

double loss_weight(const LossConfig& config, const Schedule& schedule, int64_t t_index) {
  const Coefficients c = schedule.coefficients_at(t_index);
  if (config.weighting == LossWeighting::kNone) return 1.0;
  if (config.weighting == LossWeighting::kEpsilon) {
    const double slope = eps_per_prediction(config.parameterisation, c);
    return slope * slope;
  }
  const double snr = (c.signal * c.signal) / (c.noise * c.noise);
  if (config.weighting == LossWeighting::kEdm) {
    const double slope = x0_per_prediction(config.parameterisation, c);
    return (1.0 + std::min(config.sigma_data * config.sigma_data * snr, config.snr_gamma)) * slope *
           slope;
  }
  // This is min(SNR, gamma) / SNR in a form that is finite at SNR 0.
  if (config.parameterisation == Parameterisation::kEps)
    return std::min(1.0, config.snr_gamma / snr);
  const double slope = x0_per_prediction(config.parameterisation, c);
  return std::min(snr, config.snr_gamma) * slope * slope;
}

at::Tensor loss_per_sample(const at::Tensor& prediction, const at::Tensor& target,
                           const at::Tensor& t_index, const Schedule& schedule,
                           const LossConfig& config) {
  if (prediction.sizes() != target.sizes()) {
    throw Error(ErrorCode::kInternal, "loss: prediction and target differ in shape");
  }
  const at::ScalarType type = working_type(prediction);
  const at::Tensor error = prediction.to(type) - target.to(type);
  const at::Tensor weight =
      per_sample(t_index, prediction, [&](int64_t t) { return loss_weight(config, schedule, t); });
  return error.square().flatten(1).mean(1) * weight.flatten();
}

}  // namespace pangu::diffusion
