// Many pictures of one cooperation at once: the same as one by one. Models are closed forms: one
// reads a text, one draws from a control picture, one varies a picture.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "pipeline/coop/coop.h"
#include "pipeline/coop/coop_study.h"

namespace pangu::pipeline {
namespace {

constexpr double kMostOff = 2.0;  // levels of 255: larger batches round otherwise

Model toy(const std::string& name, int side) {
  Model m;
  m.name = name;
  m.latents.space.encoder = name;
  m.latents.channels = 3;
  m.latents.downscale = 8;
  m.denoising.parameterisation = diffusion::Parameterisation::kX0;
  m.rules.defaults.width = m.rules.defaults.height = side;
  m.rules.defaults.steps = 4;
  m.rules.defaults.guidance = 2.0;
  m.rules.defaults.style_scale = 2.0;
  m.rules.defaults.sampler = "euler";
  m.rules.defaults.schedule = "normal";
  m.rules.defaults.noise = "philox";
  m.latents.load = [] {};
  m.denoising.text_sides.push_back({[] {},
                                    [](const PromptRows& rows) {
                                      const auto n = int64_t(rows.prompts.size());
                                      Conditions c;
                                      c.context = at::zeros({n, 1, 1});
                                      for (int64_t r = 0; r < n; ++r) {
                                        const double seen =
                                            rows.picture.defined()
                                                ? rows.picture.mean().item<double>()
                                                : 0.1 * double(rows.prompts[size_t(r)].size());
                                        c.context[r].fill_(rows.negative[size_t(r)] ? 0.0 : seen);
                                      }
                                      return c;
                                    }});
  m.denoising.experts.push_back({"net", [] {},
                                 [](const at::Tensor& x, double, const NetInputs& in) {
                                   at::Tensor x0 =
                                       in.conditions.context.view({-1, 1, 1, 1}) * 0.3 + 0.05 * x;
                                   if (in.conditions.extra_channels.defined()) {
                                     REQUIRE(in.conditions.extra_channels.size(0) == x.size(0));
                                     x0 = x0 + in.conditions.extra_channels.mean(1, true);
                                   }
                                   return x0;
                                 }});
  m.latents.encode = [](const at::Tensor& pixels) {
    const at::Tensor mean =
        at::adaptive_avg_pool2d(pixels, {pixels.size(2) / 8, pixels.size(3) / 8});
    return Posterior{mean, at::zeros_like(mean)};
  };
  m.latents.decode = [](const at::Tensor& z) {
    return at::upsample_nearest2d(z, {z.size(2) * 8, z.size(3) * 8});
  };
  return m;
}

// "text", "lines" (64 control channels) and "varies", by path.
CoopSetup setup() {
  CoopSetup s;
  s.open_model = [](const std::string& path, const LoadOptions&) {
    Model m = toy(path, path == "text" ? 128 : 64);
    if (path == "lines") m.denoising.control_channels = 64;
    if (path == "varies") m.quirks.reads_picture = true;
    return m;
  };
  s.read_picture = [](const std::string&) { return image::filled(64, 64, {0, 0, 0}); };
  return s;
}

image::Image half_white(int rows) {
  image::Image picture = image::filled(64, 64, {0, 0, 0});
  std::fill_n(picture.pixels.begin(), 64 * 3 * rows, uint8_t{255});
  return picture;
}

double most_off(const image::Image& a, const image::Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  double most = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    most = std::max(most, std::abs(double(a.pixels[i]) - double(b.pixels[i])));
  }
  return most;
}

std::vector<CoopWish> wishes(bool lines) {
  std::vector<CoopWish> many;
  const char* prompts[] = {"cat", "a longer prompt", "c", "狐狸", "fox"};
  for (size_t i = 0; i < 5; ++i) {
    CoopWish wish{prompts[i], 30 + 7 * i, {}};
    Pictures& own = wish.pictures[kStudyOther];
    if (lines) {
      own.controls = {half_white(12 * int(i))};
    } else {
      own.prompt = half_white(12 * int(i));
    }
    many.push_back(wish);
  }
  return many;
}

StudyShared shared(const char* other) {
  StudyShared s;
  s.hub = "text";
  s.other = other;
  s.steps = 4;
  return s;
}

TEST_CASE("pictures of a batch are those of single wishes, in every setting of the studies") {
  const diffusion::Schedule schedule;
  for (const bool lines : {true, false}) {
    const auto recipes = lines ? edges_recipes(shared("lines"), schedule)
                               : variation_recipes(shared("varies"), schedule, false);
    const auto asked = wishes(lines);
    for (const StudyRecipe& one : recipes) {
      CAPTURE(one.name);
      const Cooperation coop = assemble(one.recipe, setup());
      const auto together = draw_each(coop, asked, 3).pictures;
      const auto single = draw_each(coop, asked, 1).pictures;
      REQUIRE(together.size() == asked.size());
      for (size_t i = 0; i < asked.size(); ++i) CHECK(most_off(together[i], single[i]) <= kMostOff);
      CHECK(single[1] != single[3]);
    }
  }
}

TEST_CASE("a single wish is the recipe's own drawing with that prompt, seed and picture") {
  const diffusion::Schedule schedule;
  for (const StudyRecipe& one : edges_recipes(shared("lines"), schedule)) {
    CAPTURE(one.name);
    Recipe recipe = one.recipe;
    recipe.request.prompt = "fox";
    recipe.request.seed = 58;
    CoopSetup own = setup();
    own.read_picture = [](const std::string&) { return half_white(48); };
    CHECK(draw(assemble(recipe, own)).pictures[0] ==
          draw_each(assemble(one.recipe, setup()), {wishes(true)[4]}, 1).pictures[0]);
  }
}

TEST_CASE("chains of resolution draw in batches too") {
  for (const StudyRecipe& one : low_recipes(shared("low"))) {
    CAPTURE(one.name);
    std::vector<CoopWish> asked = wishes(false);
    for (CoopWish& wish : asked) wish.pictures.clear();
    const Cooperation coop = assemble(one.recipe, setup());
    const auto together = draw_each(coop, asked, 5).pictures;
    const auto single = draw_each(coop, asked, 1).pictures;
    for (size_t i = 0; i < asked.size(); ++i) CHECK(most_off(together[i], single[i]) <= kMostOff);
  }
}

TEST_CASE("a wish with too many control pictures names the member") {
  const Cooperation coop =
      assemble(edges_recipes(shared("lines"), diffusion::Schedule{})[3].recipe, setup());
  CoopWish wish = wishes(true)[0];
  wish.pictures[kStudyOther].controls.push_back(half_white(1));
  CHECK(contains(refusal_of([&] { draw_each(coop, {wish}, 1); }), kStudyOther));
}

TEST_CASE("on_step of many batches counts to the end, and false stops") {
  const Cooperation coop =
      assemble(edges_recipes(shared("lines"), diffusion::Schedule{})[3].recipe, setup());
  std::vector<int> steps;
  DrawHooks hooks;
  hooks.on_step = [&](int step, int count) {
    CHECK(count == 12);
    steps.push_back(step);
    return true;
  };
  draw_each(coop, wishes(true), 2, hooks);
  CHECK(steps.back() == 12);
  hooks.on_step = [](int step, int) { return step < 6; };
  CHECK(draw_each(coop, wishes(true), 2, hooks).pictures.size() == 2);
}

}  // namespace
}  // namespace pangu::pipeline
