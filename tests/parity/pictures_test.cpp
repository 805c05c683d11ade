// Whole pictures against diffusers' own pipelines: the same seed, settings and noise must give the
// same PNG, from a folder as from a single file of the same weights. The reference is made when the
// test runs, by tools/parity/dump_pictures.py, from tiny models with random weights in the topology
// of the real ones; without a Python that has diffusers the case says so loudly and passes.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "case.h"
#include "core/testing.h"
#include "image/resize.h"
#include "pipeline/draw.h"

namespace pangu::pipeline {
namespace {

// Mean difference of bytes: f32 on both sides, so that little is left of it.
constexpr double kBound = 0.1;

double mean_difference(const image::Image& a, const image::Image& b) {
  REQUIRE(a.width == b.width);
  REQUIRE(a.height == b.height);
  const image::Image other = image::composite_over(b);
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    sum += std::abs(int(a.pixels[i]) - int(other.pixels[i]));
  }
  return sum / double(a.pixels.size());
}

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

TEST_CASE("whole pictures are those of diffusers' pipelines") {
  const parity::Dump dump("diffusers", "dump_pictures.py");
  if (!dump.made()) return;
  for (const auto& one : parity::read_json(dump.folder() / "cases.json")) {
    const std::string name = one["name"];
    CAPTURE(name);
    LoadOptions options;
    options.dtype = "f32";
    options.tokenizers = std::string(kSourceDir) + "/models/tokenizers";  // of single files
    options.refiner = one.value("refiner", "");
    options.refiner_start = one.value("refiner_start", options.refiner_start);
    options.controlnets = one.value("controlnets", options.controlnets);
    options.embeddings = one.value("embeddings", options.embeddings);
    options.vae = one.value("vae", "");
    for (const auto& lora : one.value("loras", nlohmann::json::array())) {
      options.loras.push_back({lora["path"], lora["weight"]});
    }
    const Model model = load_model(one["model"], options);
    const Request request = resolved(request_from_json(one["request"]), model.rules, 0);
    const Drawing drawing = draw(model, request, {}, pictures_of(request));
    REQUIRE(drawing.pictures.size() == 1);
    const double error = mean_difference(drawing.pictures[0], image::read_image(one["picture"]));
    parity::report("picture: " + name, error, kBound);
  }
}

}  // namespace
}  // namespace pangu::pipeline
