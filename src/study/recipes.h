// The settings in which cooperation is studied, as recipes: each member alone, its share d swept,
// the noise levels at which it counts, and chains from low to high resolution. Opens no model and
// measures nothing (study/study.h does).
#pragma once
#include <string>
#include <vector>

#include "diffusion/schedule.h"
#include "pipeline/coop/recipe.h"
#include "study/study.h"

namespace pangu::study {

// Names of members in every recipe here, by which a wish gives them their pictures (coop.h).
inline constexpr const char* kHub = "text";
inline constexpr const char* kOther = "other";

struct SettingRecipe {
  Setting setting;
  pipeline::Recipe recipe;
};

// What all recipes of a study share.
struct Shared {
  std::string hub, other;  // paths of the models
  int steps = 0;
  std::string form = "paper", bridge = "auto";
};

// Hub and other take part with 1 - d and d. Noise levels are named by the hub's t. The prompt of a
// recipe is a stand-in: every picture has its own (draw_each of coop.h).
// edges: `other` draws from a control picture, without a prompt unless the row says so.
std::vector<SettingRecipe> edges_recipes(const Shared& shared, const diffusion::Schedule& hub);
// variation: `other` varies a picture. brief: fewer settings, of the same kinds.
std::vector<SettingRecipe> variation_recipes(const Shared& shared, const diffusion::Schedule& hub,
                                             bool brief);
// low: `other` begins at its own resolution, the hub draws on from T_low; also the naive handoff,
// which enlarges the noisy latent.
std::vector<SettingRecipe> low_recipes(const Shared& shared);

}  // namespace pangu::study
