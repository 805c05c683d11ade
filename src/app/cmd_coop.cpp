// `pangu-draw coop`: several models draw one picture together, as a recipe says.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>

#include "app/commands.h"
#include "app/coop_setup.h"
#include "app/drawing.h"
#include "app/home.h"
#include "app/loading.h"
#include "core/error.h"
#include "io/file_hash.h"
#include "pipeline/coop/learned_bridges.h"
#include "pipeline/doubts.h"
#include "pipeline/picture_text.h"

namespace pangu::app {
namespace {

pipeline::Recipe recipe_of_args(const CoopArgs& args, Warnings& warnings) {
  if (args.recipe.empty() == args.from.empty()) {
    throw bad_input("coop", "a recipe (.toml), or --from a picture",
                    args.recipe.empty() ? "neither" : "both");
  }
  pipeline::Recipe recipe = args.from.empty()
                                ? pipeline::recipe_of_file(args.recipe, home().string())
                                : pipeline::recipe_of_png(args.from);
  if (!args.from.empty()) {
    warn_of_difference(args.from, warnings);
    for (const std::string& file : pipeline::changed_inputs_of_png(args.from, io::sha256_of_file)) {
      warnings("'" + file + "' is not the file that '" + args.from +
               "' was drawn with: its SHA-256 is another");
    }
  }
  pipeline::apply(args.request, recipe.request);
  if (!args.form.empty()) recipe.form = args.form;
  if (!args.bridge.empty()) recipe.bridge = args.bridge;
  if (args.bridge_every) recipe.bridge_every = *args.bridge_every;
  for (const std::string& path : args.bridges) recipe.bridges.push_back(path);
  for (const std::string& text : args.withs) {
    recipe.members.push_back(pipeline::member_from_text(text));
  }
  set_vae_dtype(recipe, args.load.vae_dtype);
  return recipe;
}

// What a model is loaded with, and its control pictures, are the hub's.
void give_to_hub(pipeline::Recipe& recipe, const LoadArgs& args,
                 const pipeline::LoadOptions& load) {
  const auto hub = std::find_if(recipe.members.begin(), recipe.members.end(),
                                [](const pipeline::MemberSpec& member) { return member.hub; });
  if (!args.model.empty()) hub->model = args.model;
  if (!args.unet.empty()) hub->load.unet = args.unet;
  if (!load.text_encoders.empty()) hub->load.text_encoders = load.text_encoders;
  if (!load.prediction_type.empty()) hub->load.prediction_type = load.prediction_type;
  const auto append = [](auto& list, const auto& more) {
    list.insert(list.end(), more.begin(), more.end());
  };
  append(hub->load.loras, load.loras);
  append(hub->load.controlnets, load.controlnets);
  append(hub->load.embeddings, load.embeddings);
  if (!load.vae.empty()) hub->load.vae = load.vae;
  if (!load.upscaler.empty()) hub->load.upscaler = load.upscaler;
  if (!load.refiner.empty()) {
    hub->load.refiner = load.refiner;
    hub->load.refiner_start = load.refiner_start;
  }
  if (recipe.request.controls.empty()) return;
  hub->request["controls"] = pipeline::to_json(recipe.request)["controls"];
  recipe.request.controls.clear();
}

// Those that the recipe names, then those that lie beside the embedded models.
std::vector<pipeline::LearnedBridge> bridges_for(const pipeline::Recipe& recipe,
                                                 const pipeline::LoadOptions& load) {
  const pipeline::Placement place = pipeline::placement_of(load);
  std::vector<pipeline::LearnedBridge> learned;
  for (const std::string& folder : recipe.bridges) {
    const auto found = pipeline::learned_bridges_in(folder);
    if (found.empty()) learned.push_back(pipeline::open_learned_bridge(folder, place));  // says why
    for (const std::string& one : found) {
      learned.push_back(pipeline::open_learned_bridge(one, place));
    }
  }
  for (pipeline::LearnedBridge& bridge : learned) bridge.named = true;
  std::vector<std::string> trainings;
  std::error_code failed;
  for (const auto& entry :
       std::filesystem::directory_iterator(home() / "models" / "bridges", failed)) {
    if (entry.path().filename().string().starts_with("bridge_")) {
      trainings.push_back(entry.path().string());
    }
  }
  std::sort(trainings.begin(), trainings.end());
  for (const std::string& training : trainings) {
    for (const std::string& one : pipeline::learned_bridges_in(training)) {
      learned.push_back(pipeline::open_learned_bridge(one, place));
    }
  }
  return learned;
}

// Of every member, as it draws.
void warn_of_doubts(const pipeline::Cooperation& coop, const Watch& watch) {
  for (const pipeline::MemberSpec& member : coop.recipe.members) {
    pipeline::warn_of_doubts(member.load, watch);
  }
  for (const pipeline::CoopStage& stage : coop.stages) {
    for (const pipeline::Member& member : stage.members) {
      pipeline::warn_of_doubts(*member.model, member.request, {}, watch);
    }
  }
}

}  // namespace

void set_vae_dtype(pipeline::Recipe& recipe, const std::string& dtype) {
  if (dtype.empty()) return;
  for (pipeline::MemberSpec& member : recipe.members) member.load.vae_dtype = dtype;
}

pipeline::CoopSetup coop_setup(const pipeline::Recipe& recipe, const pipeline::LoadOptions& load,
                               const Watch& watch) {
  pipeline::CoopSetup setup;
  setup.open_model = [watch](const std::string& path, const pipeline::LoadOptions& options) {
    return pipeline::load_model(model_path(path).string(), options, watch);
  };
  setup.read_picture = [](const std::string& path) { return image::read_image(path); };
  setup.learned = bridges_for(recipe, load);
  setup.load = load;
  setup.fresh_seed = fresh_seed();
  return setup;
}

int run_recipe(const pipeline::Recipe& recipe, const pipeline::LoadOptions& load,
               const OutputArgs& output, Warnings& warnings) {
  check_out(output);
  const auto start = std::chrono::steady_clock::now();
  const pipeline::Cooperation coop =
      pipeline::assemble(recipe, coop_setup(recipe, load, {.on_warning = std::ref(warnings)}));
  warn_of_doubts(coop, {.on_warning = std::ref(warnings)});
  Report report;
  report.before.emplace_back(
      "read models",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (output.plan) {
    std::cout << (output.json ? pipeline::to_json(coop).dump(2) + "\n" : pipeline::to_table(coop));
    return 0;
  }
  const std::string bridges = pipeline::bridges_text(coop);
  if (!output.quiet && !bridges.empty()) std::cerr << bridges << "\n";
  report.facts = {{"plan", pipeline::to_json(coop)}, {"request", pipeline::to_json(coop.request)}};
  PictureFiles files(output, coop.request, coop.hub->name, warnings);
  draw_to_files(
      output, files, coop.request, std::move(report), warnings,
      [&](const pipeline::DrawHooks& hooks) { return pipeline::draw(coop, hooks); },
      [&](int index) { return pipeline::png_text(coop, index, io::sha256_of_file); });
  return 0;
}

int run_coop(const CoopArgs& args) {
  Warnings warnings;
  pipeline::Recipe recipe = recipe_of_args(args, warnings);
  const pipeline::LoadOptions load = load_options(args.load, recipe.request.prompt);
  give_to_hub(recipe, args.load, load);
  return run_recipe(recipe, load, args.output, warnings);
}

}  // namespace pangu::app
