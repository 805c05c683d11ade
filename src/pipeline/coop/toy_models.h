// Models for tests of drawing together, as closed forms: one reads a text, one draws from a control
// picture, one varies a picture.
#pragma once
#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pipeline/coop/coop.h"
#include "pipeline/toy_model.h"

namespace pangu::pipeline::toys {

inline constexpr double kMostOff = 2.0;  // levels of 255, since larger batches round differently

inline Model toy(const std::string& name, int side) {
  Model m;
  m.name = name;
  m.latents.space.encoder = name;
  m.denoising.parameterisation = diffusion::Parameterisation::kX0;
  m.rules.defaults.width = m.rules.defaults.height = side;
  m.rules.defaults.steps = 4;
  m.rules.defaults.guidance = 2.0;
  m.rules.defaults.style_scale = 2.0;
  m.rules.defaults.sampler = "euler";
  m.rules.defaults.schedule = "normal";
  m.rules.defaults.noise = "philox";
  m.denoising.text_sides.push_back({[](const Watch&) {},
                                    [](const PromptRows& rows, const Watch&) {
                                      const auto n = int64_t(rows.prompts.size());
                                      Conditions c;
                                      c.context = at::zeros({n, 1, 1});
                                      for (int64_t r = 0; r < n; ++r) {
                                        const double value =
                                            rows.picture.defined()
                                                ? rows.picture.mean().item<double>()
                                                : 0.1 * double(rows.prompts[size_t(r)].size());
                                        c.context[r].fill_(rows.negative[size_t(r)] ? 0.0 : value);
                                      }
                                      return c;
                                    }});
  m.denoising.experts.push_back(
      {"net", [](const Watch&) {},
       [](const at::Tensor& x, double, const NetInputs& in, const Watch&) {
         at::Tensor x0 = in.conditions.context.view({-1, 1, 1, 1}) * 0.3 + 0.05 * x;
         if (in.conditions.extra_channels.defined()) {
           REQUIRE(in.conditions.extra_channels.size(0) == x.size(0));
           x0 = x0 + in.conditions.extra_channels.mean(1, true);
         }
         return x0;
       }});
  give_pixel_codec(m);
  return m;
}

// Opens three models by path: "text", "lines" (which has 64 control channels) and "varies".
inline CoopSetup setup() {
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

inline image::Image half_white(int rows) {
  image::Image picture = image::filled(64, 64, {0, 0, 0});
  std::fill_n(picture.pixels.begin(), 64 * 3 * rows, uint8_t{255});
  return picture;
}

inline double most_off(const image::Image& a, const image::Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  double most = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    most = std::max(most, std::abs(double(a.pixels[i]) - double(b.pixels[i])));
  }
  return most;
}

// Five wishes with a picture each for the member `other`, which draws from lines or else varies a
// picture.
inline std::vector<CoopWish> wishes(const std::string& other, bool lines) {
  std::vector<CoopWish> many;
  const char* prompts[] = {"cat", "a longer prompt", "c", "狐狸", "fox"};
  for (size_t i = 0; i < 5; ++i) {
    CoopWish wish{prompts[i], 30 + 7 * i, {}};
    Pictures& own = wish.pictures[other];
    if (lines) {
      own.controls = {half_white(12 * int(i))};
    } else {
      own.prompt = half_white(12 * int(i));
    }
    many.push_back(wish);
  }
  return many;
}

// Pictures that are drawn three at once are those that are drawn alone.
inline void check_batches(const Cooperation& coop, const std::vector<CoopWish>& many) {
  const auto together = draw_each(coop, many, 3).pictures;
  const auto single = draw_each(coop, many, 1).pictures;
  REQUIRE(together.size() == many.size());
  for (size_t i = 0; i < many.size(); ++i) CHECK(most_off(together[i], single[i]) <= kMostOff);
  CHECK(single[1] != single[3]);
}

}  // namespace pangu::pipeline::toys
