// `pangu-draw coop`: several models draw one picture together, as a recipe says.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>

#include "app/commands.h"
#include "app/coop_setup.h"
#include "app/drawing.h"
#include "app/from_picture.h"
#include "app/home.h"
#include "app/loading.h"
#include "core/error.h"
#include "core/message.h"
#include "pipeline/coop/learned_bridges.h"
#include "pipeline/doubts.h"
#include "pipeline/dry_run.h"
#include "pipeline/picture_text.h"

namespace pangu::app {
namespace {

// The recipe, and what a picture was drawn with beside it.
struct CoopAsked {
  FromPicture from;
  pipeline::Recipe recipe;
  KeptLoading kept;
};

CoopAsked asked_of(const CoopArgs& args) {
  if (args.recipe.empty() == args.from.empty()) {
    throw bad_input("coop", "a recipe (.toml), or --from a picture",
                    args.recipe.empty() ? "neither" : "both");
  }
  std::error_code unreadable;
  if (!args.recipe.empty() && !args.recipe.ends_with(".toml") &&
      !std::filesystem::exists(args.recipe, unreadable)) {
    throw bad_input("coop", "a recipe (.toml) in front of the prompt",
                    "'" + shortened(args.recipe) + "'",
                    "examples/ has some; draw PROMPT --with MODEL needs none");
  }
  if (args.from.empty()) {
    return {{}, pipeline::recipe_of_file(args.recipe, home().string()), {}};
  }
  CoopAsked asked{from_picture(args.from), {}, {}};
  if (!asked.from.story.recipe) {
    throw bad_input("'" + args.from + "'", "a recipe of several models", "a request of one model",
                    "pangu-draw draw --from repeats it");
  }
  asked.kept = {asked.from.story.load, asked.from.story.recipe->request.prompt};
  asked.recipe = with_found_models(asked.from, load_options(args.load, "", {}), args.load.model);
  return asked;
}

// Flags over it.
void apply_flags(const CoopArgs& args, pipeline::Recipe& recipe) {
  pipeline::apply(args.request, recipe.request);
  if (!args.form.empty()) recipe.form = args.form;
  if (!args.bridge.empty()) recipe.bridge = args.bridge;
  if (args.bridge_every) recipe.bridge_every = *args.bridge_every;
  for (const std::string& path : args.bridges) recipe.bridges.push_back(path);
  for (const std::string& text : args.withs) {
    recipe.members.push_back(pipeline::member_from_text(text));
  }
  set_vae_dtype(recipe, args.load.vae_dtype);
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

// The member that is the hub, of which a recipe has one.
template <class Recipe>
auto& hub_of(Recipe& recipe) {
  return *std::find_if(recipe.members.begin(), recipe.members.end(),
                       [](const pipeline::MemberSpec& member) { return member.hub; });
}

// Several drawings share the models, and the weights that these have read.
decltype(pipeline::CoopSetup::open_model) opening_once(
    decltype(pipeline::CoopSetup::open_model) open) {
  struct Opened {
    std::string path;
    pipeline::LoadOptions options;
    pipeline::Model model;
  };
  return [open = std::move(open), all = std::make_shared<std::vector<Opened>>()](
             const std::string& path, const pipeline::LoadOptions& options) {
    for (const Opened& one : *all) {
      if (one.path == path && one.options == options) return one.model;
    }
    all->push_back({path, options, open(path, options)});
    return all->back().model;
  };
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

void give_to_hub(pipeline::Recipe& recipe, const std::string& model,
                 const pipeline::LoadOptions& load) {
  pipeline::MemberSpec& hub = hub_of(recipe);
  if (!model.empty()) hub.model = model;
  const auto append = [](auto& list, const auto& more) {
    list.insert(list.end(), more.begin(), more.end());
  };
  append(hub.load.loras, load.loras);
  append(hub.load.controlnets, load.controlnets);
  append(hub.load.embeddings, load.embeddings);
  if (!load.vae.empty()) hub.load.vae = load.vae;
  if (!load.unet.empty()) hub.load.unet = load.unet;
  if (!load.text_encoders.empty()) hub.load.text_encoders = load.text_encoders;
  if (!load.prediction_type.empty()) hub.load.prediction_type = load.prediction_type;
  if (!load.upscaler.empty()) hub.load.upscaler = load.upscaler;
  if (!load.refiner.empty()) {
    hub.load.refiner = load.refiner;
    hub.load.refiner_start = load.refiner_start;
  }
  if (recipe.request.controls.empty()) return;
  hub.request["controls"] = pipeline::to_json(recipe.request)["controls"];
  recipe.request.controls.clear();
}

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

int run_recipe(const pipeline::Recipe& said, const pipeline::LoadOptions& load, const Many& many,
               const OutputArgs& output, Warnings& warnings) {
  const auto start = std::chrono::steady_clock::now();
  pipeline::Recipe recipe = said;
  if (!recipe.request.seed) recipe.request.seed = fresh_seed();
  const std::vector<Wanted> wanted = wanted_of(many, recipe.request);
  pipeline::CoopSetup setup = coop_setup(recipe, load, {.on_warning = std::ref(warnings)});
  setup.open_model = opening_once(setup.open_model);
  std::vector<pipeline::Cooperation> coops;
  for (const Wanted& one : wanted) {
    pipeline::Recipe its_recipe = recipe;
    its_recipe.request = one.request;
    if (!one.model.empty()) hub_of(its_recipe).model = one.model;
    coops.push_back(pipeline::assemble(its_recipe, setup));
    warn_of_doubts(coops.back(), {.on_warning = std::ref(warnings)});
  }
  const pipeline::Cooperation& first = coops.front();
  Report report;
  report.before.emplace_back(
      "read models",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (output.plan) {
    std::cout << (output.json
                      ? pipeline::plan_json(first).dump(2) + "\n"
                      : pipeline::to_table(first) + "\n" + to_table(pipeline::dry_run(first)));
    return 0;
  }
  const std::string bridges = pipeline::bridges_text(first);
  if (!output.quiet && !bridges.empty()) std::cerr << bridges << "\n";
  report.facts = {{"plan", pipeline::to_json(first)},
                  {"request", pipeline::to_json(first.request)}};
  if (many.grid) report.facts["grid"] = pipeline::to_json(*many.grid);
  const bool one_picture = many.prompts.empty();  // of one request, or of a grid
  std::vector<pipeline::Request> named;
  std::vector<std::string> hubs;
  for (const pipeline::Cooperation& coop : coops) {
    named.push_back(coop.request);
    hubs.push_back(coop.hub->name);
  }
  if (one_picture) named.resize(1);
  PictureFiles files(output, named, hubs, warnings);
  const pipeline::MemberSpec& hub = hub_of(first.recipe);
  WeightHashes hashes(model_path(hub.model).string());
  pipeline::PictureKeeps keeps = keeps_of(hub, hashes);
  keeps.model.load.vae_tile = load.vae_tile;
  const auto hash_of_first = keeps.model_hash;
  keeps.grid = many.grid;
  keeps.of_grid = recipe.request;
  const pipeline::Cooperation* drawing = &first;
  const auto draw_one = [&](size_t index, const pipeline::DrawHooks& hooks) {
    drawing = &coops[index];
    return pipeline::draw(coops[index], hooks);
  };
  // The stage's hub comes first in its latents.
  const auto model_at = [&](double sigma) -> const pipeline::Model& {
    for (const pipeline::CoopStage& stage : drawing->stages) {
      if (sigma > stage.sigmas.back()) return *stage.members.front().model;
    }
    return *drawing->hub;
  };
  draw_to_files(
      output, model_at, files, std::move(report), warnings,
      [&](const pipeline::DrawHooks& hooks) {
        hashes.stop_when(hooks.watch.wants_stop);
        if (many.grid) return draw_grid(*many.grid, order_of(wanted), draw_one, hooks);
        return one_picture ? draw_one(0, hooks) : draw_all(order_of(wanted), draw_one, hooks);
      },
      [&](int index) {
        keeps.folder = files.folder_of(index);
        if (one_picture) return pipeline::png_text(first, index, keeps);
        const pipeline::Cooperation& coop = coops[static_cast<size_t>(index)];
        keeps.model_hash = hub_of(coop.recipe).model == hub.model ? hash_of_first : nullptr;
        return pipeline::png_text(coop, 0, keeps);
      });
  return 0;
}

int run_coop(const CoopArgs& args) {
  Warnings warnings;
  check_out(args.output);
  CoopAsked asked = asked_of(args);
  pipeline::Recipe& recipe = asked.recipe;
  apply_flags(args, recipe);
  const pipeline::LoadOptions load = load_options(args.load, recipe.request.prompt, asked.kept);
  give_to_hub(recipe, args.load.model, load);
  if (!args.from.empty()) {
    warn_of_differences(asked.from, pipeline::to_json(recipe), warnings);
  }
  const Many many = many_of(args.many, args.request, args.load.model, asked.from.story.grid);
  return run_recipe(recipe, load, many, args.output, warnings);
}

}  // namespace pangu::app
