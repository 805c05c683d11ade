// A model of closed forms for tests of drawing with one model: callables stand in for networks.
// Models that draw together are coop/toy_models.h.
#pragma once
#include <doctest/doctest.h>
#include <torch/types.h>

#include <string>
#include <utility>
#include <vector>

#include "pipeline/model.h"
#include "pipeline/request.h"

namespace pangu::pipeline::toys {

// Latents are the means of 8 x 8 pixels, and pixels are latents enlarged by 8.
inline void give_pixel_codec(Model& model) {
  model.latents.channels = 3;
  model.latents.downscale = 8;
  model.latents.load = [](const Watch&) {};
  model.latents.encode = [](const at::Tensor& pixels, const Watch&) {
    const at::Tensor mean =
        at::adaptive_avg_pool2d(pixels, {pixels.size(2) / 8, pixels.size(3) / 8});
    return Posterior{mean, at::zeros_like(mean)};
  };
  model.latents.decode = [](const at::Tensor& z, const Watch&) {
    return at::upsample_nearest2d(z, {z.size(2) * 8, z.size(3) * 8});
  };
}

// Two experts that guess a constant clean latent: the number of letters of the prompt, as the one
// context feature says.
struct Toy {
  std::vector<std::pair<std::string, double>> calls;  // expert, t_index
  std::vector<int64_t> rows;                          // of each call
  Model model;

  Toy() {
    model.name = "toy";
    model.denoising.parameterisation = diffusion::Parameterisation::kX0;
    model.denoising.boundaries = {model.denoising.schedule.sigma_of_t(500)};
    model.rules.defaults.width = 64;
    model.rules.defaults.height = 64;
    model.rules.defaults.steps = 10;
    model.rules.defaults.guidance = 3.0;
    model.rules.defaults.style_scale = 2.0;
    model.rules.defaults.sampler = "euler";
    model.rules.defaults.schedule = "normal";
    model.styles = {{"flat", {{"en", "flat icon"}, {"zh", "扁平图标"}}}};
    model.rules.defaults.noise = "philox";
    for (const char* name : {"structure", "texture"}) {
      model.denoising.experts.push_back(
          {name, [](const Watch&) {},
           [this, name](const at::Tensor& x, double t, const NetInputs& inputs, const Watch&) {
             const Conditions& c = inputs.conditions;
             calls.emplace_back(name, t);
             rows.push_back(x.size(0));
             REQUIRE(c.context.size(0) == x.size(0));
             // A little of the noise stays, so that seeds differ.
             return c.context.view({-1, 1, 1, 1}).expand_as(x) * 0.01 + 0.05 * x;
           }});
    }
    TextSide side{[](const Watch&) {},
                  [](const PromptRows& rows, const Watch&) {
                    std::vector<float> lengths;
                    for (const auto& p : rows.prompts) lengths.push_back(float(p.size()));
                    const int64_t n = int64_t(rows.prompts.size());
                    Conditions made;
                    made.context = at::tensor(lengths).view({n, 1, 1});
                    return made;
                  }};
    model.denoising.text_sides.push_back(side);
    give_pixel_codec(model);
  }

  Request request(const std::string& prompt, uint64_t seed = 1) {
    Request r;
    r.prompt = prompt;
    return resolved(r, model.rules, seed);
  }
};

}  // namespace pangu::pipeline::toys
