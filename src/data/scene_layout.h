// Where the things of a scene stand. Part of data/scenes.h; knows no words.
#pragma once
#include "core/rng.h"
#include "data/scenes.h"

namespace pangu::data {

// Sets the cell of every thing: inside the scene, apart from each other, and for a position so that
// centres differ clearly along the relation's axis and little across it.
void lay_out(ScenePlan& plan_, Rng& rng_);

}  // namespace pangu::data
