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

// A model as a member of one stage uses it.
struct Member {
  std::string name;
  std::shared_ptr<const Model> model;
  Request request;          // resolved for this model, at the member's size
  bool own_prompt = false;  // whether its part of the recipe has a prompt of its own
  Pictures pictures;
  diffusion::WeightCurve weight;
  at::Tensor mask;  // [1,1,h,w], h x w the latents of the stage's hub; or undefined
  BridgeEnd end;
};

struct CoopStage {
  std::vector<Member> members;  // the hub first; those without weight in this stage are left out
  diffusion::SigmaList sigmas;
  image::Filter upscale = image::Filter::kBicubic;  // filter for enlarging to the next stage
  std::vector<std::vector<PickedBridge>> bridges;   // [from][to]
  std::vector<PickedBridge> carries;  // from this hub to every member of the next stage
};

// A recipe with everything resolved that can be known before the drawing begins.
struct Cooperation {
  Recipe recipe;
  diffusion::SigmaList sigmas;  // of all stages
  size_t first_step = 0;        // the Plan::first_step of the first of them
  Request request;              // the hub's request, resolved; its count and seed hold for all
  std::shared_ptr<const Model> hub;
  std::vector<CoopStage> stages;
  diffusion::Handoff handoff = diffusion::Handoff::kFreshNoise;
};

// How a recipe's models and pictures are opened; the caller gives it.
struct CoopSetup {
  // Opens a model by the path of a member ("" is the embedded model), with what is loaded together
  // with it.
  std::function<Model(const std::string& path, const LoadOptions& options)> open_model;
  // Reads the picture in a file.
  std::function<image::Image(const std::string& path)> read_picture;
  std::vector<LearnedBridge> learned;
  LoadOptions load;  // device, dtype and the other options that are common to all members
  uint64_t fresh_seed = 0;
};

// Reads the members' configurations and pictures, and resolves sizes, weights and bridges. A member
// for which the recipe has no size works at the hub's size if the hub's encoder is its own too, or
// the size is near its training (half to twice its default area), and if its rules allow the size.
// Otherwise it works at a size near the hub's shape that its rules allow, with its own default area
// if the hub's is too far from that. Throws kBadInput, which names the member, if it has no weight
// anywhere, a mask of another shape, a size that it does not allow, or no decoder to bridge by; and
// for stages that do not meet.
Cooperation assemble(const Recipe& recipe, const CoopSetup& setup);

// Takes a member's own guess x0 [B,C,h,w], in its own space, before it is fused; at every call of
// its denoiser in a stage of several members. Of this call only: clone what is kept beyond the
// drawing.
using OnGuess = std::function<void(const Member& member, double sigma, const at::Tensor& x0)>;

// Draws the pictures of the recipe. If only the hub has weight, they are the pictures of
// pipeline::draw, bit for bit. Members whose latents have equal shapes share their noise; other
// shapes have streams of their own (ImageNoise::next_tuple).
Drawing draw(const Cooperation& coop, const DrawHooks& hooks = {}, const OnGuess& on_guess = {});

// One picture of many, with a prompt and a seed of its own, and pictures of its own to draw from.
struct CoopWish {
  std::string prompt;  // for the members whose part of the recipe has none
  uint64_t seed = 0;
  // By the member's name; these replace the recipe's pictures.
  std::map<std::string, Pictures> pictures;
};

// Draws a picture for every wish, in their order, `at_once` of them in one forward. The common
// prompt, seed and count of the recipe are not used. Picture i is the one that draw() gives for the
// same prompt, seed and pictures, up to the rounding of larger batches. A drawing that is stopped
// returns fewer pictures. Throws kBadInput, which names the member, if a wish has another number of
// control pictures than the member draws from.
Drawing draw_each(const Cooperation& coop, const std::vector<CoopWish>& wishes, int at_once,
                  const DrawHooks& hooks = {});

// Returns the picked bridges in one line, "bridges: text to edges exact, edges to text learned";
// empty if there are none.
std::string bridges_text(const Cooperation& coop);
// Return the plan: members, spaces, bridges, the weights of every step and the memory of the
// models, as text and as JSON.
std::string to_table(const Cooperation& coop);
nlohmann::json to_json(const Cooperation& coop);

// Returns what is kept inside of picture number `index`: the recipe, names and fingerprints of the
// models, and the files as png_text of one model keeps them (picture_text.h).
std::map<std::string, std::string> png_text(const Cooperation& coop, int index,
                                            const PictureKeeps& keeps = {});

}  // namespace pangu::pipeline
