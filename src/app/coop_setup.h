// A recipe's way from words to a drawing: models from their paths, pictures from files.
#pragma once
#include "app/commands.h"
#include "app/draw_many.h"
#include "app/warnings.h"
#include "core/watch.h"
#include "pipeline/coop/coop.h"

namespace pangu::app {

// load: device, dtype, tokenizers and the like, for all members. Learned bridges are those of the
// recipe's folders and of home()/models/bridges/bridge_*.
// `watch` is told of warnings while models load.
pipeline::CoopSetup coop_setup(const pipeline::Recipe& recipe, const pipeline::LoadOptions& load,
                               const Watch& watch = {});

// What flags say that a model is loaded with, and the recipe's own control pictures, are its hub's;
// so is `model` if it is not empty.
void give_to_hub(pipeline::Recipe& recipe, const std::string& model,
                 const pipeline::LoadOptions& load);

// Lets the autoencoders of all members compute in one type; empty: leaves them as the recipe says.
void set_vae_dtype(pipeline::Recipe& recipe, const std::string& dtype);

// Draws it, or what `many` asks for with its models, or prints its plan. An axis of models is the
// hub's.
int run_recipe(const pipeline::Recipe& said, const pipeline::LoadOptions& load, const Many& many,
               const OutputArgs& output, Warnings& warnings);

}  // namespace pangu::app
