// Several models draw one picture together (Coop-Diffusion, arXiv 2312.16486, section 4): a recipe
// becomes members with their own prompts, sizes and plans, bridges between their latent spaces, and
// stages of resolution. The mathematics is diffusion/coop.h and diffusion/stages.h.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "diffusion/coop.h"
#include "diffusion/stages.h"
#include "pipeline/coop/bridges.h"
#include "pipeline/coop/recipe.h"
#include "pipeline/draw.h"
#include "pipeline/picture_text.h"

namespace pangu::pipeline {

// A model as one stage's member uses it.
struct Member {
  std::string name;
  std::shared_ptr<const Model> model;
  Request request;          // resolved for this model, at its own size
  bool own_prompt = false;  // its part of the recipe says what it reads
  Pictures pictures;
  diffusion::WeightCurve weight;
  at::Tensor mask;  // [1,1,h,w] of the stage's hub, or undefined
  BridgeEnd end;
};

struct CoopStage {
  std::vector<Member> members;  // the hub first; those without weight in this stage are left out
  diffusion::SigmaList sigmas;
  image::Filter upscale = image::Filter::kBicubic;  // to the next stage
  std::vector<std::vector<PickedBridge>> bridges;   // [from][to]
  std::vector<PickedBridge> carries;  // from this hub to every member of the next stage
};

// All of a drawing that can be known before it begins.
struct Cooperation {
  Recipe recipe;
  diffusion::SigmaList sigmas;  // of all stages
  size_t first_step = 0;        // Plan::first_step of the first of them
  Request request;              // the hub's, resolved; count and seed are the drawing's
  std::shared_ptr<const Model> hub;
  std::vector<CoopStage> stages;
  diffusion::Handoff handoff = diffusion::Handoff::kFreshNoise;
};

// What a recipe needs of the outside.
struct CoopSetup {
  // A model by the path of a member ("" is the embedded one) and what is loaded with it.
  std::function<Model(const std::string& path, const LoadOptions& options)> open_model;
  // Pixels of a file.
  std::function<image::Image(const std::string& path)> read_picture;
  std::vector<LearnedBridge> learned;
  LoadOptions load;  // device, dtype and what else is one for all members
  uint64_t fresh_seed = 0;
};

// Loads the members' configurations and pictures, resolves sizes, weights and bridges. A member of
// its own size works at the hub's size where its rules and its training (half to twice its default
// area) allow it, else at the hub's shape with its own area. Error kBadInput names the member: no
// weight anywhere, a mask of another shape, a size that it does not allow, no decoder to bridge by,
// stages that do not meet.
Cooperation assemble(const Recipe& recipe, const CoopSetup& setup);

// Pictures as those of pipeline::draw: with no weight but the hub's they are the very same. Noise:
// parts of equal shape share it, others have streams of their own (ImageNoise::next_tuple).
Drawing draw(const Cooperation& coop, const DrawHooks& hooks = {});

// A picture of its own prompt, and of its own pictures to draw from.
struct CoopWish {
  std::string prompt;  // of the members whose part of the recipe has none
  uint64_t seed = 0;
  std::map<std::string, Pictures> pictures;  // by member; controls and prompt over the recipe's
};

// A picture for every wish, in their order, `at_once` of them in one forward; what the recipe says
// of prompts, seed and count counts for none. Picture i is `draw`'s of the same prompt, seed and
// pictures, up to the rounding of larger batches. Fewer pictures if it was stopped. Error kBadInput
// names a member that is given another number of control pictures than it draws from.
Drawing draw_each(const Cooperation& coop, const std::vector<CoopWish>& wishes, int at_once,
                  const DrawHooks& hooks = {});

// The picked bridges in one line, "bridges: text to edges exact, edges to text learned"; empty if
// there are none.
std::string bridges_text(const Cooperation& coop);
// Members, spaces, bridges, weights a step, memory: for people, and as JSON.
std::string to_table(const Cooperation& coop);
nlohmann::json to_json(const Cooperation& coop);

// What is kept in picture `index`: the recipe, names and fingerprints of models, and the files as
// png_text of one model keeps them (picture_text.h).
std::map<std::string, std::string> png_text(const Cooperation& coop, int index,
                                            const PictureKeeps& keeps = {});

}  // namespace pangu::pipeline
