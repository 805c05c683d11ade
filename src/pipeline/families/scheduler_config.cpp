// Keys and classes: those of diffusers 0.42's schedulers.
#include "pipeline/families/scheduler_config.h"

#include <algorithm>

#include "core/error.h"
#include "core/json_reader.h"
#include "pipeline/families/spec.h"

namespace pangu::pipeline {
namespace {

// Schedulers of alpha-bars: they differ in how they step, which a request chooses here.
constexpr const char* kVarianceClasses[] = {"DDIMInverseScheduler",
                                            "DDIMParallelScheduler",
                                            "DDIMScheduler",
                                            "DDPMParallelScheduler",
                                            "DDPMScheduler",
                                            "DEISMultistepScheduler",
                                            "DPMSolverMultistepInverseScheduler",
                                            "DPMSolverMultistepScheduler",
                                            "DPMSolverSDEScheduler",
                                            "DPMSolverSinglestepScheduler",
                                            "EulerAncestralDiscreteScheduler",
                                            "EulerDiscreteScheduler",
                                            "HeunDiscreteScheduler",
                                            "KDPM2AncestralDiscreteScheduler",
                                            "KDPM2DiscreteScheduler",
                                            "LCMScheduler",
                                            "LMSDiscreteScheduler",
                                            "PNDMScheduler",
                                            "SASolverScheduler",
                                            "TCDScheduler",
                                            "UniPCMultistepScheduler"};
constexpr const char* kFlowClasses[] = {"FlowMatchEulerDiscreteScheduler",
                                        "FlowMatchHeunDiscreteScheduler"};

// How to step and where to put the steps: a request's sampler and schedule say it.
constexpr const char* kOfSamplers[] = {
    "algorithm_type",    "corrector_order",    "disable_corrector",
    "euler_at_final",    "final_sigmas_type",  "lambda_min_clipped",
    "lower_order_final", "noise_sampler_seed", "predict_x0",
    "predictor_order",   "skip_prk_steps",     "solver_order",
    "solver_p",          "solver_type",        "stochastic_sampling",
    "tau_func",          "use_beta_sigmas",    "use_exponential_sigmas",
    "use_karras_sigmas", "use_lu_lambdas"};
// Numbers of what is refused, or switched off, when it is on.
constexpr const char* kOfWhatIsOff[] = {
    "base_image_seq_len", "base_shift", "clip_sample_range", "dynamic_thresholding_ratio",
    "max_image_seq_len",  "max_shift",  "sample_max_value",  "time_shift_type"};

constexpr const char* kFlowPrediction = "flow_prediction";

std::string all_of(std::initializer_list<std::span<const char* const>> lists) {
  std::string text;
  for (const auto& list : lists) {
    for (const char* name : list) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

bool is_among(std::span<const char* const> names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether the network was trained as a flow.
bool reads_as_flow(JsonReader& reader) {
  std::string name = "DDIMScheduler";
  bool flow_sigmas = false;
  reader.read("_class_name", name);
  reader.read("use_flow_sigmas", flow_sigmas);
  if (is_among(kFlowClasses, name)) return true;
  if (!is_among(kVarianceClasses, name)) {
    throw reader.error("_class_name", "one of " + all_of({kVarianceClasses, kFlowClasses}),
                       "\"" + name + "\"");
  }
  return flow_sigmas;
}

diffusion::Schedule read_schedule(JsonReader& reader, const Source& source, bool flow) {
  diffusion::ScheduleConfig c;
  std::string beta_schedule = diffusion::to_string(c.beta_schedule);
  c.beta_start = source.training.beta_start.value_or(c.beta_start);
  c.beta_end = source.training.beta_end.value_or(c.beta_end);
  c.num_train_timesteps = source.training.train_timesteps.value_or(c.num_train_timesteps);
  reader.read("beta_schedule", beta_schedule);
  if (flow) beta_schedule = diffusion::to_string(diffusion::BetaSchedule::kFlow);
  reader.read("num_train_timesteps", c.num_train_timesteps);
  reader.read("beta_start", c.beta_start);
  reader.read("beta_end", c.beta_end);
  reader.read("trained_betas", c.trained_betas);
  c.rescale_betas_zero_snr = source.training.zero_terminal_snr;
  reader.read("rescale_betas_zero_snr", c.rescale_betas_zero_snr);
  reader.read("shift", c.flow_shift);       // of diffusers' flow schedulers ...
  reader.read("flow_shift", c.flow_shift);  // ... and of those with use_flow_sigmas
  return reader.naming_file([&] {
    c.beta_schedule = diffusion::beta_schedule_from(beta_schedule);
    return diffusion::Schedule(c);
  });
}

diffusion::SigmaOptions read_spacing(JsonReader& reader, const Source& source) {
  const NoiseSpec& noise = source.spec->noise;
  diffusion::SigmaOptions options;
  // A network trained to zero terminal SNR has to be started there.
  const bool from_the_top =
      source.training.zero_terminal_snr && noise.spacing == diffusion::Spacing::kLeading;
  std::string spacing = to_string(from_the_top ? diffusion::Spacing::kTrailing : noise.spacing);
  reader.read("timestep_spacing", spacing);
  options.spacing = reader.naming_file([&] { return diffusion::spacing_from(spacing); });
  reader.read("steps_offset", options.steps_offset);
  // Single files as diffusers' own configurations of their families, folders as DDIM's default.
  bool ends_at_zero = !source.scheduler.is_null() || noise.ddim_ends_at_zero;
  reader.read("set_alpha_to_one", ends_at_zero);
  if (!ends_at_zero) options.final_sigma = diffusion::FinalSigma::kSigmaMin;
  std::string interpolation = noise.linear_interpolation ? "linear" : "log_linear";
  reader.read("interpolation_type", interpolation);
  if (interpolation != "linear" && interpolation != "log_linear") {
    throw reader.error("interpolation_type", "linear or log_linear", interpolation);
  }
  options.linear_interpolation = interpolation == "linear";
  reader.read("sigma_min", options.sigma_min);
  reader.read("sigma_max", options.sigma_max);
  reader.read("original_inference_steps", options.original_inference_steps);
  if (noise.align_your_steps) options.align_your_steps = *noise.align_your_steps;
  return options;
}

// What is left of the file has no effect, or is refused.
void judge_the_rest(JsonReader& reader) {
  // diffusers' pipelines of Stable Diffusion switch it off: latents go beyond [-1,1].
  reader.passes("clip_sample");
  for (const char* key : kOfSamplers) reader.passes(key);
  for (const char* key : kOfWhatIsOff) reader.passes(key);
  reader.only("thresholding", {false});
  reader.only("use_dynamic_shifting", {false});
  reader.only("invert_sigmas", {false});
  reader.only("shift_terminal", {});
  reader.only("timestep_type", {"discrete"});
  reader.only("timestep_scaling", {10.0});  // diffusion/consistency.h
  reader.only("predict_epsilon", {true});   // of old files
  // A learned variance doubles the network's channels.
  reader.only("variance_type",
              {"fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"});
  reader.refuse_unread();
}

}  // namespace

NoiseTerms noise_terms_of(const Source& source) {
  const nlohmann::json nothing = nlohmann::json::object();
  JsonReader reader("'" + source.folder + "/scheduler/scheduler_config.json'",
                    source.scheduler.is_null() ? nothing : source.scheduler);
  const std::string& asked = source.prediction_type;
  // A DDPM's schedule has no flow in it.
  const bool flow = reads_as_flow(reader) || asked == kFlowPrediction;
  NoiseTerms terms;
  terms.schedule = read_schedule(reader, source, flow);
  terms.sigma_options = read_spacing(reader, source);
  const bool v = source.training.prediction == io::Prediction::kV;
  std::string prediction = flow ? kFlowPrediction : v ? "v_prediction" : "epsilon";
  reader.read("prediction_type", prediction);
  if (!asked.empty()) prediction = asked;
  terms.parameterisation =
      reader.naming_file([&] { return diffusion::parameterisation_from(prediction); });
  judge_the_rest(reader);
  return terms;
}

double latent_scale_of(const Source& source) {
  return source.training.latent_scale.value_or(source.spec->latent_scale);
}

Request defaults_of(const Source& source) {
  Request defaults = source.spec->defaults;
  const int v_side = source.spec->v_side_px;
  if (v_side > 0 && noise_terms_of(source).parameterisation == diffusion::Parameterisation::kV) {
    defaults.width = defaults.height = v_side;
  }
  return defaults;
}

}  // namespace pangu::pipeline
