// Foreign scheduler configurations: every key is applied, known to be without effect, or refused.
#include "pipeline/families/scheduler_config.h"

#include "core/testing.h"
#include "pipeline/families/spec.h"

namespace pangu::pipeline {
namespace {

using io::Family;
using nlohmann::json;

Source source_with(Family family, const json& scheduler) {
  Source source;
  source.what.family = family;
  source.spec = &spec_of(family);
  source.folder = "folder";
  source.scheduler = scheduler;
  return source;
}

// Stable Diffusion 1's file, with changes.
json file_with(const json& changes) {
  json file = {{"_class_name", "PNDMScheduler"},
               {"_diffusers_version", "0.6.0"},
               {"beta_end", 0.012},
               {"beta_schedule", "scaled_linear"},
               {"beta_start", 0.00085},
               {"clip_sample", false},
               {"num_train_timesteps", 1000},
               {"set_alpha_to_one", false},
               {"skip_prk_steps", true},
               {"steps_offset", 1},
               {"trained_betas", nullptr}};
  if (changes.is_object()) file.update(changes);
  return file;
}

NoiseTerms terms_with(const json& changes) {
  return noise_terms_of(source_with(Family::kStableDiffusion1, file_with(changes)));
}

std::string refusal_with(const json& changes) {
  return refusal_of([&] { terms_with(changes); });
}

TEST_CASE("ddim's end is the files' own, in single files that of diffusers' configurations") {
  const auto ends_at_zero = [](Family family, const char* scheduler) {
    const Source source = source_with(family, json::parse(scheduler));
    return noise_terms_of(source).sigma_options.final_sigma == diffusion::FinalSigma::kZero;
  };
  for (const Family family : {Family::kStableDiffusion1, Family::kStableDiffusion2, Family::kSdxl,
                              Family::kSdxlRefiner}) {
    CHECK(!ends_at_zero(family, "null"));
    CHECK(!ends_at_zero(family, R"({"set_alpha_to_one": false})"));
    CHECK(ends_at_zero(family, R"({"set_alpha_to_one": true})"));
    CHECK(ends_at_zero(family, R"({"steps_offset": 1})"));
  }
  CHECK(ends_at_zero(Family::kPanguDraw3, "null"));
}

TEST_CASE("what a scheduler's file says of the training is applied") {
  const diffusion::Schedule plain = terms_with({}).schedule;
  std::vector<double> betas(1000, 0.001);
  const diffusion::Schedule trained = terms_with({{"trained_betas", betas}}).schedule;
  CHECK(trained.alpha_bars().back() == doctest::Approx(std::pow(0.999, 1000)));
  CHECK(trained.sigma_max() != doctest::Approx(plain.sigma_max()));
  CHECK(terms_with({{"rescale_betas_zero_snr", true}}).schedule.alpha_bars().back() == 0.0);
  CHECK(terms_with({{"timestep_spacing", "trailing"}}).sigma_options.spacing ==
        diffusion::Spacing::kTrailing);
  CHECK(!terms_with({{"interpolation_type", "log_linear"}}).sigma_options.linear_interpolation);
  CHECK(terms_with({{"sigma_max", 12.5}}).sigma_options.sigma_max == 12.5);
  CHECK(terms_with({{"original_inference_steps", 40}}).sigma_options.original_inference_steps ==
        40);
  CHECK(terms_with({{"prediction_type", "sample"}}).parameterisation ==
        diffusion::Parameterisation::kX0);
}

TEST_CASE("a flow scheduler's class makes a flow, shifted as it says") {
  const json flow = {{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                     {"num_train_timesteps", 1000},
                     {"shift", 3.0},
                     {"base_shift", 0.5},
                     {"use_dynamic_shifting", false}};
  const NoiseTerms terms = noise_terms_of(source_with(Family::kStableDiffusion1, flow));
  CHECK(terms.schedule.is_flow());
  CHECK(terms.schedule.config().flow_shift == 3.0);
  CHECK(terms.parameterisation == diffusion::Parameterisation::kFlow);
  const NoiseTerms dpm = terms_with({{"_class_name", "DPMSolverMultistepScheduler"},
                                     {"use_flow_sigmas", true},
                                     {"flow_shift", 2.0}});
  CHECK(dpm.schedule.is_flow());
  CHECK(dpm.schedule.config().flow_shift == 2.0);
}

TEST_CASE("what a file says of samplers has no effect, since a request chooses its own") {
  const NoiseTerms plain = terms_with({});
  const NoiseTerms other = terms_with({{"_class_name", "DPMSolverMultistepScheduler"},
                                       {"algorithm_type", "sde-dpmsolver++"},
                                       {"solver_order", 3},
                                       {"use_karras_sigmas", true},
                                       {"final_sigmas_type", "sigma_min"},
                                       {"clip_sample", true},
                                       {"variance_type", "fixed_small"}});
  CHECK(other.schedule.alpha_bars() == plain.schedule.alpha_bars());
  CHECK(other.sigma_options.spacing == plain.sigma_options.spacing);
  CHECK(other.parameterisation == plain.parameterisation);
}

TEST_CASE("what changes the mathematics and is not known is refused by file and key") {
  const std::pair<const char*, json> kRefused[] = {
      {"_class_name", "EDMDPMSolverMultistepScheduler"},
      {"_class_name", "CogVideoXDDIMScheduler"},
      {"beta_schedule", "sigmoid"},
      {"prediction_type", "trigflow"},
      {"thresholding", true},
      {"timestep_type", "continuous"},
      {"use_dynamic_shifting", true},
      {"invert_sigmas", true},
      {"shift_terminal", 0.1},
      {"timestep_scaling", 1.0},
      {"variance_type", "learned_range"},
      {"interpolation_type", "cubic"},
      {"trained_betas", {0.1, 0.2}},
      {"timestep_spacing", 3},
      {"sigma_data", 0.5},
      {"a_key_of_tomorrow", "on"}};
  for (const auto& [key, value] : kRefused) {
    const std::string said = refusal_with({{key, value}});
    CHECK_MESSAGE(contains(said, "scheduler_config.json"), key << ": " << said);
    CHECK_MESSAGE(contains(said, key), said);
  }
  // Unknown keys that are off say nothing.
  CHECK(refusal_with({{"a_key_of_tomorrow", false}}) == "accepted");
}

}  // namespace
}  // namespace pangu::pipeline
