// `pangu-draw draw`: flags to a request, a request to pictures.
#include <chrono>
#include <iostream>
#include <optional>
#include <tuple>

#include "app/commands.h"
#include "app/coop_setup.h"
#include "app/draw_many.h"
#include "app/draw_setup.h"
#include "app/drawing.h"
#include "app/home.h"
#include "app/weight_hashes.h"
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

std::vector<std::string> expert_names(const pipeline::Model& model) {
  std::vector<std::string> names;
  for (const auto& expert : model.denoising.experts) names.push_back(expert.name);
  return names;
}

void print_plan(const pipeline::Model& model, const pipeline::Request& request, bool as_json) {
  const diffusion::Plan plan = pipeline::plan_of(model, request);
  std::cout << (as_json ? diffusion::to_json(plan, expert_names(model)) + "\n"
                        : diffusion::to_table(plan, expert_names(model)));
}

}  // namespace

int run_draw(const DrawArgs& args) {
  Warnings warnings;
  check_out(args.output);
  const DrawSetup setup = draw_setup(args, warnings);
  const std::vector<std::string> prompts = prompts_of(args);
  if (setup.recipe && !(args.grid.empty() && prompts.empty())) {
    throw bad_input("--grid or --prompts", "one model", "several that draw together");
  }
  if (setup.recipe) return run_recipe(*setup.recipe, setup.load, args.output, warnings);
  const pipeline::LoadOptions& load = setup.model.load;
  pipeline::Request asked = setup.request;
  if (!prompts.empty()) asked.prompt = prompts.front();
  Report report;
  const auto start = std::chrono::steady_clock::now();
  const std::string path = model_path(setup.model.model).string();
  const pipeline::Model model =
      pipeline::load_model(path, load, {.on_warning = std::ref(warnings)});
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
    print_plan(model, request, args.output.json);
    return 0;
  }
  // Of several that are not one request with a count: the cells of a grid, or prompts of a file.
  std::optional<Grid> grid;
  std::vector<pipeline::Request> many;
  asked.seed = request.seed;
  if (!args.grid.empty()) {
    grid = grid_from(args.grid);
    many = cells_of(*grid, asked, model.rules);
  } else if (!prompts.empty()) {
    many = requests_of(prompts, args, asked, model.rules);
  }
  const bool of_prompts = !grid && !many.empty();
  const std::vector<pipeline::Request> named = of_prompts ? many : std::vector{request};
  report.facts = {{"request", pipeline::to_json(request)}, {"model", model.name}};
  PictureFiles files(args.output, named, model.name, warnings);
  WeightHashes hashes(path);
  pipeline::PictureKeeps keeps = keeps_of(setup.model, hashes);
  draw_to_files(
      args.output, [&](double) -> const pipeline::Model& { return model; }, files,
      std::move(report), warnings,
      [&](const pipeline::DrawHooks& hooks) {
        hashes.stop_when(hooks.watch.wants_stop);
        if (grid) return draw_grid(*grid, {model, pictures}, many, hooks);
        if (of_prompts) return draw_all({model, pictures}, many, hooks);
        return pipeline::draw(model, request, hooks, pictures);
      },
      [&](int index) {
        keeps.folder = files.folder_of(index);
        if (of_prompts)
          return pipeline::png_text(model, many[static_cast<size_t>(index)], 0, keeps);
        return pipeline::png_text(model, request, index, keeps);
      });
  return 0;
}

}  // namespace pangu::app
