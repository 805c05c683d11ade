// `pangu-draw draw`: flags to a request, a request to pictures.
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

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
#include "pipeline/dry_run.h"
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
  const pipeline::Pictures pictures = read_pictures(request);
  if (as_json) {
    std::cout << pipeline::plan_json(model, request, pictures).dump() << "\n";
    return;
  }
  std::cout << diffusion::to_table(pipeline::plan_of(model, request), expert_names(model)) << "\n"
            << to_table(pipeline::dry_run(model, request, pictures));
}

// The models that a drawing needs, each opened when it is asked for; one is in memory at a time.
class ModelsInTurn {
 public:
  // load: what all are loaded with.
  ModelsInTurn(pipeline::LoadOptions load, Warnings& warnings)
      : load_(std::move(load)), warnings_(warnings) {}

  // said: as --model has it.
  const pipeline::Model& at(const std::string& said) {
    if (model_ && said_ == said) return *model_;
    model_.reset();
    model_ =
        pipeline::load_model(model_path(said).string(), load_, {.on_warning = std::ref(warnings_)});
    said_ = said;
    return *model_;
  }
  // REQUIRES: one was asked for.
  const pipeline::Model& last() const { return *model_; }

 private:
  pipeline::LoadOptions load_;
  Warnings& warnings_;
  std::string said_;
  std::optional<pipeline::Model> model_;
};

void refuse_idle_upscaler(const DrawArgs& args, const pipeline::Request& request,
                          const pipeline::Model& model) {
  if (args.load.upscaler.empty() || request.upscale != 1.0 || request.hires_scale != 1.0) return;
  throw bad_input("--upscaler", "--upscale or --hires-scale with it", "neither",
                  "for example --upscale " + std::to_string(model.upscaler->factor));
}

}  // namespace

int run_draw(const DrawArgs& args) {
  Warnings warnings;
  check_out(args.output);
  DrawSetup setup = draw_setup(args, warnings);
  const Many many = many_of(args.many, args.request, args.load.model, setup.grid);
  if (setup.recipe) return run_recipe(*setup.recipe, setup.load, many, args.output, warnings);
  const auto start = std::chrono::steady_clock::now();
  pipeline::Request asked = setup.request;
  if (!asked.seed) asked.seed = fresh_seed();
  const std::vector<Wanted> wanted = wanted_of(many, asked);
  const std::vector<size_t> order = order_of(wanted);
  const auto model_of = [&](size_t i) -> const std::string& {
    return wanted[i].model.empty() ? setup.model.model : wanted[i].model;
  };
  ModelsInTurn models(setup.model.load, warnings);
  pipeline::warn_of_doubts(setup.model.load, {.on_warning = std::ref(warnings)});
  std::vector<pipeline::Request> requests(wanted.size());
  std::vector<std::string> names(wanted.size());
  for (const size_t i : order) {
    const pipeline::Model& model = models.at(model_of(i));
    pipeline::Request request = wanted[i].request;
    const pipeline::Pictures pictures = read_pictures(request);
    if (pictures.init && !request.width && !request.height) {
      std::tie(request.width, request.height) = pipeline::size_near(*pictures.init, model.rules);
    }
    names[i] = model.name;
    requests[i] = pipeline::resolved(request, model.rules, fresh_seed());
    pipeline::warn_of_doubts(model, requests[i], args.request, {.on_warning = std::ref(warnings)});
    refuse_idle_upscaler(args, requests[i], model);
  }
  const pipeline::Request& first = requests.front();
  const std::string path = model_path(model_of(0)).string();
  Report report;
  report.before.emplace_back(
      "read model",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (args.output.plan) {
    print_plan(models.at(model_of(0)), first, args.output.json);
    return 0;
  }
  report.facts = {{"request", pipeline::to_json(first)}, {"model", names.front()}};
  if (many.grid) report.facts["grid"] = pipeline::to_json(*many.grid);
  const bool one_picture = many.prompts.empty();  // of one request, or of a grid
  PictureFiles files(args.output, one_picture ? std::vector{first} : requests, names, warnings);
  WeightHashes hashes(path);
  pipeline::PictureKeeps keeps = keeps_of(setup.model, hashes);
  const auto hash_of_first = keeps.model_hash;
  keeps.grid = many.grid;
  keeps.of_grid = asked;
  const auto draw_one = [&](size_t index, const pipeline::DrawHooks& hooks) {
    return pipeline::draw(models.at(model_of(index)), requests[index], hooks,
                          read_pictures(requests[index]));
  };
  draw_to_files(
      args.output, [&](double) -> const pipeline::Model& { return models.last(); }, files,
      std::move(report), warnings,
      [&](const pipeline::DrawHooks& hooks) {
        hashes.stop_when(hooks.watch.wants_stop);
        if (many.grid) return draw_grid(*many.grid, order, draw_one, hooks);
        if (!one_picture) return draw_all(order, draw_one, hooks);
        pipeline::DrawHooks alone = hooks;
        alone.last = true;
        return draw_one(0, alone);
      },
      [&](int index) {
        keeps.folder = files.folder_of(index);
        const size_t i = one_picture ? 0 : static_cast<size_t>(index);
        keeps.model.model = model_of(i);
        keeps.model_hash = model_of(i) == model_of(0) ? hash_of_first : nullptr;
        return pipeline::png_text(models.at(model_of(i)), requests[i], one_picture ? index : 0,
                                  keeps);
      });
  return 0;
}

}  // namespace pangu::app
