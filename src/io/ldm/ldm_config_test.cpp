#include "io/ldm/ldm_config.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::io;

namespace {

// As Stability's v2-inference-v.yaml, shortened.
constexpr const char* kV2 = R"(model:
  base_learning_rate: 1.0e-4
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: "v"
    linear_start: 0.00085  # of the betas
    linear_end: 0.0120
    timesteps: 1000
    first_stage_key: "jpg"
    scale_factor: 0.18215
    use_ema: False # we set this to false because this is an inference only config

    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        in_channels: 4
        attention_resolutions: [ 4, 2, 1 ]
        channel_mult:
        - 1
        - 2
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        monitor: val/rec_loss
        ddconfig: {double_z: true}
)";

std::string refused_config(const std::string& text) {
  try {
    parse_ldm_config(text, "'x.yaml'");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string with_scaling(const std::string& scaling) {
  return "model:\n  params:\n    denoiser_config:\n      params:\n        scaling_config:\n"
         "          target: sgm.modules.diffusionmodules.denoiser_scaling." +
         scaling + "\n";
}

TEST_CASE("a configuration of LDM says what its weights do not") {
  const LdmConfig config = parse_ldm_config(kV2, "'x.yaml'");
  CHECK(config.prediction == Prediction::kV);
  CHECK(config.linear_start == 0.00085);
  CHECK(config.linear_end == 0.012);
  CHECK(config.timesteps == 1000);
  CHECK(config.scale_factor == 0.18215);
}

TEST_CASE("a configuration of Stability's generative-models says the prediction by its scaling") {
  CHECK(parse_ldm_config(with_scaling("VScaling"), "x").prediction == Prediction::kV);
  CHECK(parse_ldm_config(with_scaling("EpsScaling"), "x").prediction == Prediction::kEps);
  CHECK(contains(refused_config(with_scaling("EDMScaling")), "EDMScaling"));
}

TEST_CASE("what a configuration leaves open stays open") {
  for (const char* text : {"", "---\n# nothing\n", "model:\n  params:\n    use_ema: false\n"}) {
    const LdmConfig config = parse_ldm_config(text, "x");
    CHECK(config.prediction == Prediction::kUnknown);
    CHECK(!config.linear_start);
    CHECK(!config.scale_factor);
  }
}

TEST_CASE("scalars of YAML are found by their paths, without quotes and comments") {
  const auto scalars = yaml_scalars(
      "a: 'x # y'\nb:\n    c: 1 # two\n    \"d\": e:f\ng: 2\nh:\n- i: 3\n- j\nk: v#w\n", "x");
  const auto text = [&](const char* path) { return scalars.at(path).text; };
  CHECK(text("a") == "x # y");
  CHECK(text("b.c") == "1");
  CHECK(text("b.d") == "e:f");
  CHECK(text("g") == "2");
  CHECK(text("k") == "v#w");
  CHECK(scalars.at("g").line == 5);
  CHECK(scalars.count("h.i") == 0);
}

TEST_CASE("what cannot be meant, and forms that would hide a key, are refused by line and key") {
  const auto with = [](const std::string& line) {
    return refused_config("model:\n  params:\n    " + line + "\n");
  };
  CHECK(contains(with("parameterization: x0"), "line 3, key 'model.params.parameterization'"));
  for (const char* line :
       {"parameterization: &v v", "linear_start: much", "linear_start: -1", "linear_start: nan",
        "timesteps: 10.5", "beta_schedule: cosine", "scale_factor: |"}) {
    CHECK_MESSAGE(contains(with(line), "line 3"), line);
  }
  CHECK(contains(refused_config("model: {params: {parameterization: v}}\n"), "key 'model'"));
  CHECK(contains(refused_config("model:\n\tparams:\n"), "line 2"));
}

}  // namespace
