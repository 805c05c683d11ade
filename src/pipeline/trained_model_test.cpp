// What a model folder of a training says. That it draws is shown in tests/e2e/train_test.py.
#include "pipeline/trained_model.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "io/json_file.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

struct Trainings {
  TestFolder folder;
  TrainedModelPlan plan;

  Trainings() {
    plan.inputs = folder.file("inputs");
    plan.parameterisation = diffusion::Parameterisation::kV;
    plan.default_side_px = 64;
    folder.write("inputs/vae/config.json",
                 std::string(R"({"_class_name": "PixelSpace", "patch_size": 8})"));
    folder.write("inputs/text_encoder/config.json", std::string("{}"));
    folder.write("inputs/tokenizer/tokenizer.json", std::string("{}"));
  }

  std::string write(const std::string& name, double value = 1.0) const {
    write_trained_model(folder.file(name), plan, {{"unet", "", {{"width", 4}}}},
                        {{"w", at::full({2}, value)}});
    return folder.file(name);
  }
  json read(const std::string& name) const { return io::read_json_file(folder.file(name)); }
  bool has(const std::string& name) const { return std::filesystem::exists(folder.path / name); }
};

TEST_CASE("one network's model says its classes, schedule, prediction type and size") {
  const Trainings t;
  t.write("model");
  const json index = t.read("model/model_index.json");
  CHECK(index["_class_name"] == "PanGuDrawPipeline");
  CHECK(index["vae"] == json({"pangu_draw", "PixelSpace"}));
  CHECK(index["default_size"] == json({64, 64}));
  CHECK_FALSE(index.contains("trained_timesteps"));
  CHECK_FALSE(index.contains("expert_boundary"));
  const json scheduler = t.read("model/scheduler/scheduler_config.json");
  CHECK(scheduler["prediction_type"] == "v_prediction");
  CHECK(scheduler["beta_schedule"] == "scaled_linear");
  CHECK(t.read("model/unet/config.json") == json({{"width", 4}}));
  CHECK(t.has("model/unet/diffusion_pytorch_model.safetensors"));
  CHECK(t.has("model/text_encoder/config.json"));
  CHECK(t.has("model/tokenizer/tokenizer.json"));
  CHECK(t.has("model/vae/config.json"));
}

TEST_CASE("two experts become one model in either order of training") {
  Trainings t;
  t.plan.min_timestep = 600;
  const std::string structure = t.write("structure");
  CHECK(t.read("structure/model_index.json")["trained_timesteps"] == json({600, 1000}));
  t.plan.min_timestep = 0;
  t.plan.max_timestep = 600;
  t.plan.other_expert = structure;
  const std::string both = t.write("both", 2.0);
  CHECK(t.read("both/model_index.json")["expert_boundary"] == 600);
  CHECK(t.has("both/unet_texture/diffusion_pytorch_model.safetensors"));
  // The structure expert trains on, and takes the other one out of the whole model.
  t.plan.min_timestep = 600;
  t.plan.max_timestep = 1000;
  t.plan.other_expert = both;
  t.write("both", 3.0);
  const json index = t.read("both/model_index.json");
  CHECK(index["expert_boundary"] == 600);
  CHECK(index["unet_texture"] == index["unet"]);
  CHECK_FALSE(index.contains("trained_timesteps"));
}

TEST_CASE("experts whose timesteps do not meet are refused with both ranges") {
  Trainings t;
  t.plan.min_timestep = 600;
  t.plan.other_expert = t.write("structure");
  t.plan.min_timestep = 0;
  t.plan.max_timestep = 500;
  const std::string refusal = refusal_of([&] { check_trained_model(t.plan); });
  CHECK(contains(refusal, "500 to 1000"));
  CHECK(contains(refusal, "600 to 1000"));
  t.plan.other_expert = t.folder.file("nowhere");
  CHECK(contains(refusal_of([&] { check_trained_model(t.plan); }), "nowhere"));
}

TEST_CASE("later files of what drawing leaves open take the place of earlier ones") {
  Trainings t;
  t.plan.drawing = {
      t.folder.write("a.json", std::string(R"({"default_steps": 8, "default_guidance": 2})")),
      t.folder.write("b.json", std::string(R"({"default_steps": 9, "text_model": "../mini",
        "style_prompts": {"flat": {"en": "flat icon"}}})"))};
  t.write("model");
  const json index = t.read("model/model_index.json");
  CHECK(index["default_steps"] == 9);
  CHECK(index["default_guidance"] == 2);
  CHECK(index["style_prompts"]["flat"]["en"] == "flat icon");
  CHECK(index["text_model"] == "../mini");
  CHECK_FALSE(t.has("model/text_encoder"));
  CHECK_FALSE(index.contains("text_encoder"));
}

TEST_CASE("networks that learn together are written apart, each with its names and class") {
  Trainings t;
  t.plan.reads_captions = false;
  write_trained_model(t.folder.file("model"), t.plan,
                      {{"unet", "unet.", {{"width", 4}}}, {"image_encoder", "image_encoder.", {}}},
                      {{"unet.w", at::zeros({2})}, {"image_encoder.v", at::zeros({3})}});
  const auto names = [&](const char* file) {
    std::vector<std::string> list;
    for (const auto& [name, tensor] : tensors::load_safetensors(t.folder.file(file))) {
      list.push_back(name);
    }
    return list;
  };
  CHECK(names("model/unet/diffusion_pytorch_model.safetensors") == std::vector<std::string>{"w"});
  CHECK(names("model/image_encoder/model.safetensors") == std::vector<std::string>{"v"});
  CHECK(t.read("model/model_index.json")["image_encoder"] ==
        json({"transformers", "CLIPVisionModelWithProjection"}));
  CHECK_FALSE(t.has("model/text_encoder"));
}

TEST_CASE(
    "a model that goes on from another keeps its scheduler, its defaults and its text encoder") {
  Trainings t;
  t.folder.write("base/model_index.json",
                 std::string(R"({"_class_name": "PanGuDrawPipeline", "default_size": [96, 64],
                   "default_sampler": "heun", "text_model": "../inputs"})"));
  t.folder.write("base/scheduler/scheduler_config.json", std::string(R"({"beta_start": 0.5})"));
  t.folder.write("base/vae/config.json", std::string(R"({"_class_name": "PixelSpace"})"));
  t.plan.base = t.plan.inputs = t.folder.file("base");
  t.write("model");
  const json index = t.read("model/model_index.json");
  CHECK(index["default_size"] == json({96, 64}));
  CHECK(index["default_sampler"] == "heun");
  CHECK_FALSE(index.contains("text_model"));
  CHECK(t.has("model/text_encoder/config.json"));
  CHECK(t.read("model/scheduler/scheduler_config.json") == json({{"beta_start", 0.5}}));
}

TEST_CASE("a model folder tells its experts and their timesteps") {
  Trainings t;
  CHECK(trained_experts(t.write("whole"), 1000, "model").front().name == "denoiser");
  t.plan.min_timestep = 600;
  const auto one = trained_experts(t.write("structure"), 1000, "model");
  REQUIRE(one.size() == 1);
  CHECK(one[0].name == "structure");
  CHECK(one[0].min_timestep == 600);
  CHECK(one[0].max_timestep == 1000);
  t.plan.max_timestep = 600;
  t.plan.min_timestep = 0;
  t.plan.other_expert = t.folder.file("structure");
  const auto two = trained_experts(t.write("both"), 1000, "model");
  REQUIRE(two.size() == 2);
  CHECK(two[1].name == "texture");
  CHECK(two[1].component == "unet_texture");
  CHECK(two[1].max_timestep == 600);
  t.folder.write("wrong/model_index.json", std::string(R"({"trained_timesteps": [600, 100]})"));
  CHECK(contains(refusal_of([&] { trained_experts(t.folder.file("wrong"), 1000, "model"); }),
                 "trained_timesteps"));
}

TEST_CASE("a file of what drawing leaves open is refused with its key") {
  Trainings t;
  const auto refusal = [&](const char* text) {
    t.plan.drawing = {t.folder.write("wrong.json", std::string(text))};
    return refusal_of([&] { check_trained_model(t.plan); });
  };
  CHECK(contains(refusal(R"({"default_step": 8})"), "default_step"));
  CHECK(contains(refusal(R"({"default_steps": 0})"), "default_steps"));
  CHECK(contains(refusal(R"({"default_steps": "many"})"), "default_steps"));
  CHECK(contains(refusal(R"({"default_size": [64]})"), "default_size"));
  CHECK(contains(refusal(R"({"style_prompts": {"flat": {"de": "flach"}}})"), "'de'"));
  CHECK(contains(refusal("[]"), "wrong.json"));
  CHECK(refusal(R"({"default_size": [64, 96]})") == "accepted");
}

}  // namespace
}  // namespace pangu::pipeline
