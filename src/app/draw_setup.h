// What the flags of `draw` and the picture of --from ask for together: flags go before the picture.
#pragma once
#include <optional>

#include "app/commands.h"
#include "app/warnings.h"
#include "pipeline/coop/recipe.h"
#include "pipeline/grid.h"

namespace pangu::app {

struct DrawSetup {
  pipeline::Request request;               // of one model,
  pipeline::MemberSpec model;              // and that, with all that is loaded with it
  std::optional<pipeline::Recipe> recipe;  // of several: --with, or a picture of several
  std::optional<pipeline::Grid> grid;      // of the picture of --from
  pipeline::LoadOptions load;  // device, types of numbers and the like, which all models share
};

// Files and models of the picture are found (app/from_picture.h); what makes another picture is
// warned of. Error kBadInput for flags that mean nothing together, and for a picture that does not
// say how it was drawn.
DrawSetup draw_setup(const DrawArgs& args, Warnings& warnings);

}  // namespace pangu::app
