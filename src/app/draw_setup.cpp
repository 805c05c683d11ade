#include "app/draw_setup.h"

#include <algorithm>

#include "app/coop_setup.h"
#include "app/from_picture.h"
#include "app/loading.h"
#include "core/error.h"

namespace pangu::app {
namespace {

std::string model_of(const DrawArgs& args, const FromPicture& from,
                     const pipeline::LoadOptions& load) {
  if (!args.load.model.empty()) return args.load.model;
  if (from.path.empty()) return args.load.unet;  // a model whose other parts are elsewhere, if any
  const pipeline::ModelMark& mark = from.story.mark;
  if (mark.name.empty() && mark.fingerprint.empty()) {
    throw bad_input("--from '" + from.path + "'", "--model FILE", "none",
                    "the picture does not say which model drew it");
  }
  return found_model(mark, from.path, load);
}

// --with: the model is the hub, and has what the others leave of 1.
pipeline::Recipe recipe_of_flags(const DrawArgs& args, const DrawSetup& setup) {
  pipeline::Recipe recipe;
  recipe.request = setup.request;
  recipe.request.controls.clear();
  pipeline::MemberSpec hub = setup.model;
  hub.hub = true;
  hub.request["controls"] = pipeline::to_json(setup.request)["controls"];
  double others = 0;
  for (const std::string& text : args.withs) {
    recipe.members.push_back(pipeline::member_from_text(text));
    others += recipe.members.back().weight;
  }
  hub.weight = std::max(0.0, 1.0 - others);
  recipe.members.insert(recipe.members.begin(), hub);
  if (!args.bridge.empty()) recipe.bridge = args.bridge;
  set_vae_dtype(recipe, args.load.vae_dtype);
  return recipe;
}

// A picture of several models.
pipeline::Recipe recipe_again(const DrawArgs& args, const FromPicture& from, DrawSetup& setup) {
  pipeline::Recipe recipe = with_found_models(from, setup.load, args.load.model);
  const std::string before = recipe.request.prompt;
  pipeline::apply(args.request, recipe.request);
  setup.load = load_options(args.load, recipe.request.prompt, {from.story.load, before});
  give_to_hub(recipe, args.load.model, setup.load);
  if (!args.bridge.empty()) recipe.bridge = args.bridge;
  set_vae_dtype(recipe, args.load.vae_dtype);
  return recipe;
}

}  // namespace

DrawSetup draw_setup(const DrawArgs& args, Warnings& warnings) {
  FromPicture from;
  if (!args.from.empty()) from = from_picture(args.from);
  DrawSetup setup;
  setup.grid = from.story.grid;
  if (from.story.recipe && args.withs.empty()) {
    setup.load = load_options(args.load, "", {from.story.load, {}});
    setup.recipe = recipe_again(args, from, setup);
    warn_of_differences(from, pipeline::to_json(*setup.recipe), warnings);
    return setup;
  }
  if (from.story.recipe) throw bad_input("--with", "a picture of one model", "one of several");
  setup.request = from.story.request;
  pipeline::apply(args.request, setup.request);
  // Of a foreign picture, whose start picture is not known.
  const auto strength = args.request.find("strength");
  const bool said = strength != args.request.end() && !strength->second.empty();
  if (setup.request.init_image.empty() && !said) setup.request.strength.reset();
  setup.model = from.story.model;
  KeptLoading kept{from.story.model.load, {}};
  kept.options.dtype = from.story.load.dtype;
  kept.options.precision = from.story.load.precision;
  kept.options.vae_tile = from.story.load.vae_tile;
  if (from.story.origin == pipeline::kOwnOrigin) kept.prompt = from.story.request.prompt;
  if (!args.load.model.empty()) kept.options.vae_dtype.reset();  // what the other model bears
  setup.load = setup.model.load = load_options(args.load, setup.request.prompt, kept);
  if (args.load.model.empty() && from.path.empty()) setup.model.load.unet.clear();
  setup.model.model = model_of(args, from, setup.load);
  nlohmann::json read = pipeline::to_json(setup.model);
  read["request"] = pipeline::to_json(setup.request);
  if (!from.path.empty()) warn_of_differences(from, read, warnings);
  if (!args.bridge.empty() && args.withs.empty()) throw bad_input("--bridge", "--with", "none");
  if (!args.withs.empty()) setup.recipe = recipe_of_flags(args, setup);
  return setup;
}

}  // namespace pangu::app
