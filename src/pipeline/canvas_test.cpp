// Drawings from pictures of other shapes and with masks, and drawings that are enlarged.
#include "pipeline/canvas.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "image/resize.h"
#include "pipeline/coop/hires.h"
#include "pipeline/draw.h"
#include "pipeline/picture_story.h"
#include "pipeline/toy_model.h"

using namespace pangu;
using namespace pangu::pipeline;
using pangu::pipeline::toys::Toy;

TEST_CASE("pictures of another shape are cut at the centre, or as the request says") {
  Toy toy;
  Request r = toy.request("cat");
  r.sampler = "ddim";
  r.init_image = "init.png";
  r.mask_image = "mask.png";
  r.strength = 0.5;
  r.composite = false;
  // A square between two bars; behind a black mask the picture comes back as it was.
  const image::Image square = image::filled(64, 64, {200, 200, 200});
  Pictures pictures;
  pictures.init = image::filled(128, 64, {40, 40, 40});
  image::paste(*pictures.init, square, {32, 0, 64, 64});
  pictures.mask = image::filled(32, 64, {0, 0, 0});
  const auto drawn = [&](const char* mode) {
    r.resize_mode = mode;
    return draw(toy.model, r, {}, pictures).pictures[0];
  };
  CHECK(drawn("crop") == square);
  const auto grey_at = [](const image::Image& picture, int x, int y) { return *picture.at(x, y); };
  const image::Image stretched = drawn("stretch"), padded = drawn("pad");
  CHECK(grey_at(stretched, 32, 0) == 200);
  CHECK(grey_at(stretched, 2, 32) == 40);
  CHECK(grey_at(padded, 32, 2) == 200);  // the outermost row is repeated upwards
  CHECK(grey_at(padded, 2, 32) == 40);
  r.resize_mode = "squeeze";
  CHECK(contains(refusal_of([&] { validate(r, toy.model.rules); }), "crop, pad or stretch"));
}

TEST_CASE("a mask may be the hole in a picture") {
  Toy toy;
  Request r = toy.request("cat");
  r.init_image = "init.png";
  r.mask_image = "init.png";
  r.strength = 1.0;
  r.mask_blur = 0;
  Pictures pictures;
  pictures.init = image::filled(64, 64, {200, 30, 30}, 4);
  for (int y = 0; y < 64; ++y) {
    for (int x = 32; x < 64; ++x) pictures.init->at(x, y)[3] = 0;
  }
  pictures.mask = pictures.init;
  const Canvas canvas = make_canvas(toy.model, r, pictures);
  CHECK(canvas.hard_mask.narrow(3, 0, 4).max().item<float>() == 0.0f);
  CHECK(canvas.hard_mask.narrow(3, 4, 4).min().item<float>() == 1.0f);
}

TEST_CASE("a finished picture is enlarged by the model's upscaler, or without one by Lanczos") {
  Toy toy;
  Request r = toy.request("cat");
  const image::Image whole = draw(toy.model, r).pictures[0];
  r.upscale = 1.5;
  CHECK(draw(toy.model, r).pictures[0] == image::resize(whole, 96, 96));  // of one colour
  toy.model.upscaler = {"black", 2, [](const at::Tensor& pixels, const Watch&) {
                          return at::zeros({1, 3, pixels.size(2) * 2, pixels.size(3) * 2});
                        }};
  CHECK(draw(toy.model, r).pictures[0] == image::filled(96, 96, {0, 0, 0}));
  r.upscale = 9;
  CHECK(contains(refusal_of([&] { draw(toy.model, r); }), "upscale"));
}

TEST_CASE("hires draws the first steps at the request's size and the rest at the larger one") {
  Toy toy;
  std::vector<std::pair<int64_t, double>> seen;  // latent width, t_index
  for (Expert& expert : toy.model.denoising.experts) {
    expert.predict = [&seen, predict = expert.predict](const at::Tensor& x, double t_index,
                                                       const NetInputs& in, const Watch& watch) {
      seen.emplace_back(x.size(3), t_index);
      return predict(x, t_index, in, watch);
    };
  }
  Request r = toy.request("cat");
  r.count = 2;
  r.hires_scale = 2.0;
  r.hires_strength = 0.6;
  const Drawing drawn = draw(toy.model, r);
  REQUIRE(drawn.pictures.size() == 2);
  CHECK(drawn.pictures[0].width == 128);
  CHECK(drawn.pictures[0].height == 128);
  // Of ten steps four are small; one more call makes the guess that is enlarged.
  REQUIRE(seen.size() == 2 * 11);
  for (size_t i = 0; i < 11; ++i) {
    CHECK(seen[i].first == (i < 5 ? 8 : 16));
    if (i > 0) CHECK((seen[i].second < seen[i - 1].second || i == 5));
  }
  CHECK(seen[4].second ==
        seen[5].second);  // the second stage begins at the level of the first's end
  CHECK(batch_of(toy.model, r, 1).count == 1);
  r.mask_image = r.init_image = "a.png";
  CHECK(contains(refusal_of([&] { hires_of(toy.model, r, {}); }), "mask"));
  r = toy.request("cat");
  r.hires_scale = 2.0;
  r.hires_strength = 1.0;
  CHECK(contains(refusal_of([&] { draw(toy.model, r); }), "hires_strength"));
  toy.model.latents.encode = {};
  r.hires_strength = 0.5;
  CHECK(contains(refusal_of([&] { draw(toy.model, r); }), "encode"));
}

TEST_CASE("a PNG from before there was a resize mode is repeated by stretching") {
  const TestFolder folder;
  Request r;
  r.prompt = "cat";
  const auto request_of = [&](const nlohmann::json& request) {
    const nlohmann::json all = {{"request", request}};
    const auto png = image::encode_png(image::filled(1, 1, {}), {{"pangu-draw", all.dump()}});
    return story_of_picture(folder.write("a.png", png)).request;
  };
  nlohmann::json json = to_json(r);
  CHECK(request_of(json).resize_mode == "crop");
  json.erase("resize_mode");
  CHECK(request_of(json).resize_mode == "stretch");
}
