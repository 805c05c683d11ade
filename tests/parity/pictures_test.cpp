// Compares whole pictures with diffusers' own pipelines: the same seed, settings and noise must
// give the same PNG, from a folder and from a single file of the same weights, alone and in a
// batch. The reference is made when the test runs, by tools/parity/dump_pictures.py, from tiny
// models with random weights in the topology of the real ones; without a Python that has diffusers
// the case says so loudly and passes. Every case is drawn a second time with another value of the
// setting that it tests, and that picture must differ.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "core/testing.h"
#include "picture_case.h"
#include "pipeline/draw.h"

namespace pangu::pipeline {
namespace {

Pictures pictures_of(const Request& request) {
  Pictures pictures;
  if (!request.init_image.empty()) pictures.init = image::read_image(request.init_image);
  if (!request.mask_image.empty()) pictures.mask = image::read_image(request.mask_image);
  if (!request.image_prompt.empty()) pictures.prompt = image::read_image(request.image_prompt);
  for (const ControlUse& use : request.controls) {
    pictures.controls.push_back(image::read_image(use.image));
  }
  return pictures;
}

LoadOptions options_of(const nlohmann::json& one) {
  LoadOptions options;
  options.dtype = "f32";
  options.tokenizers = std::string(kSourceDir) + "/models/tokenizers";  // for single files
  options.refiner = one.value("refiner", "");
  options.refiner_start = one.value("refiner_start", options.refiner_start);
  options.controlnets = one.value("controlnets", options.controlnets);
  options.embeddings = one.value("embeddings", options.embeddings);
  options.vae = one.value("vae", "");
  for (const auto& lora : one.value("loras", nlohmann::json::array())) {
    options.loras.push_back({lora["path"], lora["weight"]});
  }
  return options;
}

// Opens the model that a case needs; consecutive cases that need the same model share it.
class LastModel {
 public:
  const Model& model_for(const nlohmann::json& one) {
    nlohmann::json setup = one;
    for (const char* key : {"name", "request", "pictures", "change", "rivals"}) setup.erase(key);
    if (!model_ || setup != setup_) {
      model_.reset();
      model_ = load_model(one["model"], options_of(one));
      // The limit lets a batch of three be one forward.
      model_->denoising.latent_pixels_a_forward = 1 << 20;
      setup_ = std::move(setup);
    }
    return *model_;
  }

 private:
  std::optional<Model> model_;
  nlohmann::json setup_;
};

std::vector<image::Image> drawn(LastModel& models, const nlohmann::json& one) {
  const Model& model = models.model_for(one);
  const Request request = resolved(request_from_json(one["request"]), model.rules, 0);
  int64_t at_once = 0;
  DrawHooks hooks;
  hooks.on_latents = [&](const diffusion::StepInfo& info) { at_once = info.x.one().size(0); };
  Drawing drawing = draw(model, request, hooks, pictures_of(request));
  CHECK(at_once == request.count);
  return std::move(drawing.pictures);
}

TEST_CASE("whole pictures are those of diffusers' pipelines") {
  const parity::Dump dump("diffusers", "dump_pictures.py");
  if (!dump.made()) return;
  LastModel models;
  for (const auto& one : parity::read_json(dump.folder() / "cases.json")) {
    const std::string name = one["name"];
    CAPTURE(name);
    const std::vector<image::Image> ours = drawn(models, one);
    std::vector<image::Image> wanted;
    for (const std::string path : one["pictures"]) wanted.push_back(image::read_image(path));
    const double error = parity::difference_of(ours, wanted).most;
    for (const auto& rival : one["rivals"]) {
      const double difference =
          parity::mean_difference(ours[0], image::read_image(rival["picture"]));
      parity::report_rival(name, rival["ours"], rival["theirs"], rival["differs"], difference);
    }

    nlohmann::json changed = one;
    changed.merge_patch(one["change"]["patch"]);
    const double sensitivity = parity::difference_of(ours, drawn(models, changed)).least;
    parity::report_picture(name, error, sensitivity, one["change"]["setting"]);
  }
}

}  // namespace
}  // namespace pangu::pipeline
