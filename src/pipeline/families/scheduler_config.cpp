#include "pipeline/families/scheduler_config.h"

#include "core/error.h"
#include "pipeline/families/spec.h"

namespace pangu::pipeline {
namespace {

template <class T>
T value_or(const nlohmann::json& object, const char* key, T fallback) {
  if (!object.is_object()) return fallback;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  try {
    return found->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw bad_input(std::string("configuration, key '") + key + "'", "another type",
                    found->dump().substr(0, 80));
  }
}

}  // namespace

diffusion::Schedule schedule_of(const Source& source) {
  const auto& json = source.scheduler;
  diffusion::ScheduleConfig c;
  c.beta_schedule = diffusion::beta_schedule_from(
      value_or<std::string>(json, "beta_schedule", to_string(c.beta_schedule)));
  c.num_train_timesteps = value_or(json, "num_train_timesteps", c.num_train_timesteps);
  c.beta_start = value_or(json, "beta_start", c.beta_start);
  c.beta_end = value_or(json, "beta_end", c.beta_end);
  c.rescale_betas_zero_snr =
      value_or(json, "rescale_betas_zero_snr", source.training.zero_terminal_snr);
  return diffusion::Schedule(c);
}

diffusion::SigmaOptions sigma_options_of(const Source& source) {
  const NoiseSpec& noise = source.spec->noise;
  diffusion::SigmaOptions options;
  // A network trained to zero terminal SNR has to be started there.
  const bool from_the_top =
      source.training.zero_terminal_snr && noise.spacing == diffusion::Spacing::kLeading;
  options.spacing = diffusion::spacing_from(value_or<std::string>(
      source.scheduler, "timestep_spacing",
      to_string(from_the_top ? diffusion::Spacing::kTrailing : noise.spacing)));
  options.steps_offset = value_or<int64_t>(source.scheduler, "steps_offset", 1);
  // Single files as diffusers' own configurations of their families, folders as DDIM's default.
  const bool folder = !source.scheduler.is_null();
  if (!value_or(source.scheduler, "set_alpha_to_one", folder || noise.ddim_ends_at_zero)) {
    options.final_sigma = diffusion::FinalSigma::kSigmaMin;
  }
  options.linear_interpolation = noise.linear_interpolation;
  if (noise.align_your_steps) options.align_your_steps = *noise.align_your_steps;
  return options;
}

diffusion::Parameterisation parameterisation_of(const Source& source) {
  const bool v = source.training.prediction == io::Prediction::kV;
  return diffusion::parameterisation_from(
      value_or<std::string>(source.scheduler, "prediction_type", v ? "v_prediction" : "epsilon"));
}

Request defaults_of(const Source& source) {
  Request defaults = source.spec->defaults;
  const int v_side = source.spec->v_side_px;
  if (v_side > 0 && parameterisation_of(source) == diffusion::Parameterisation::kV) {
    defaults.width = defaults.height = v_side;
  }
  return defaults;
}

}  // namespace pangu::pipeline
