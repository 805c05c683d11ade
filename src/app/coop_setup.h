// A recipe's way from words to a drawing: models from their paths, pictures from files.
#pragma once
#include "app/commands.h"
#include "pipeline/coop/coop.h"

namespace pangu::app {

// load: device, dtype, tokenizers and the like, for all members. Learned bridges are those of the
// recipe's folders and of home()/models/bridges/bridge_*.
pipeline::CoopSetup coop_setup(const pipeline::Recipe& recipe, const pipeline::LoadOptions& load);

// Draws it, or prints its plan, as `args` say.
int run_recipe(const pipeline::Recipe& recipe, const pipeline::LoadOptions& load,
               const CoopOutput& output);

}  // namespace pangu::app
