// `pangu-draw draw`: flags to a request, a request to PNG files.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <tuple>

#include "app/commands.h"
#include "app/coop_setup.h"
#include "app/drawing.h"
#include "app/home.h"
#include "app/loading.h"
#include "core/error.h"
#include "pipeline/doubts.h"
#include "pipeline/draw.h"
#include "pipeline/picture_text.h"

namespace pangu::app {
namespace {

pipeline::Pictures read_pictures(const pipeline::Request& request) {
  pipeline::Pictures pictures;
  if (!request.init_image.empty()) pictures.init = image::read_image(request.init_image);
  if (!request.mask_image.empty()) pictures.mask = image::read_image(request.mask_image);
  if (!request.image_prompt.empty()) pictures.prompt = image::read_image(request.image_prompt);
  for (const pipeline::ControlUse& use : request.controls) {
    pictures.controls.push_back(image::read_image(use.image));
  }
  return pictures;
}

pipeline::Request request_of(const DrawArgs& args) {
  pipeline::Request r;
  if (!args.from.empty()) r = pipeline::request_of_png(args.from);
  pipeline::apply(args.request, r);
  return r;
}

std::vector<std::string> expert_names(const pipeline::Model& model) {
  std::vector<std::string> names;
  for (const auto& expert : model.denoising.experts) names.push_back(expert.name);
  return names;
}

// --with: the model is the hub, and has what the others leave of 1.
pipeline::Recipe recipe_of(const DrawArgs& args, const pipeline::Request& asked,
                           const pipeline::LoadOptions& load) {
  pipeline::Recipe recipe;
  recipe.request = asked;
  recipe.request.controls.clear();
  pipeline::MemberSpec hub;
  hub.hub = true;
  hub.model = model_of(args.load);
  hub.load = load;
  hub.request["controls"] = pipeline::to_json(asked)["controls"];
  double others = 0;
  for (const std::string& text : args.withs) {
    recipe.members.push_back(pipeline::member_from_text(text));
    others += recipe.members.back().weight;
  }
  set_vae_dtype(recipe, args.load.vae_dtype);
  hub.weight = std::max(0.0, 1.0 - others);
  recipe.members.insert(recipe.members.begin(), hub);
  if (!args.bridge.empty()) recipe.bridge = args.bridge;
  return recipe;
}

}  // namespace

int run_draw(const DrawArgs& args) {
  Warnings warnings;
  check_out(args.output);
  pipeline::Request asked = request_of(args);
  if (!args.from.empty()) warn_of_difference(args.from, warnings);
  pipeline::LoadOptions load = load_options(args.load, asked.prompt);
  if (!args.from.empty() && !load.vae_dtype) load.vae_dtype = pipeline::vae_dtype_of_png(args.from);
  if (!args.withs.empty()) {
    return run_recipe(recipe_of(args, asked, load), load, args.output, warnings);
  }
  Report report;
  const auto start = std::chrono::steady_clock::now();
  const pipeline::Model model = pipeline::load_model(model_path(model_of(args.load)).string(), load,
                                                     {.on_warning = std::ref(warnings)});
  report.before.emplace_back(
      "read model",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  const pipeline::Pictures pictures = read_pictures(asked);
  if (pictures.init && !asked.width && !asked.height) {
    std::tie(asked.width, asked.height) = pipeline::size_near(*pictures.init, model.rules);
  }
  const pipeline::Request request = pipeline::resolved(asked, model.rules, fresh_seed());
  pipeline::warn_of_doubts(load, {.on_warning = std::ref(warnings)});
  pipeline::warn_of_doubts(model, request, args.request, {.on_warning = std::ref(warnings)});

  if (!args.load.upscaler.empty() && request.upscale == 1.0 && request.hires_scale == 1.0) {
    throw bad_input("--upscaler", "--upscale or --hires-scale with it", "neither",
                    "for example --upscale " + std::to_string(model.upscaler->factor));
  }
  if (args.output.plan) {
    const diffusion::Plan plan = pipeline::plan_of(model, request);
    std::cout << (args.output.json ? diffusion::to_json(plan, expert_names(model)) + "\n"
                                   : diffusion::to_table(plan, expert_names(model)));
    return 0;
  }
  report.facts = {{"request", pipeline::to_json(request)}, {"model", model.name}};
  PictureFiles files(args.output, request, model.name, warnings);
  draw_to_files(
      args.output, files, request, std::move(report), warnings,
      [&](const pipeline::DrawHooks& hooks) {
        return pipeline::draw(model, request, hooks, pictures);
      },
      [&](int index) { return pipeline::png_text(model, request, index); });
  return 0;
}

}  // namespace pangu::app
