// The settings of the studies as recipes: each member alone, the share d of the other member swept,
// limits on the noise levels at which it counts, and chains from low to high resolution. It opens
// no model and measures nothing (study/study.h does).
#pragma once
#include <string>
#include <vector>

#include "diffusion/schedule.h"
#include "pipeline/coop/recipe.h"
#include "study/study.h"

namespace pangu::study {

// The names of the members in every recipe here; a wish addresses pictures to members by name
// (coop.h).
inline constexpr const char* kHub = "text";
inline constexpr const char* kOther = "other";

struct SettingRecipe {
  Setting setting;
  pipeline::Recipe recipe;
};

// Settings that all recipes of a study share.
struct Shared {
  std::string hub, other;  // paths of the models
  int steps = 0;
  std::string form = "paper", bridge = "auto";
};

// The weights of the hub and the other member are 1 - d and d. Noise levels are named by the hub's
// t. The prompt of a recipe is a placeholder: every picture has its own prompt (draw_each of
// coop.h). edges: the other member draws from a control picture, without a prompt unless the name
// of the setting says so.
std::vector<SettingRecipe> edges_recipes(const Shared& shared, const diffusion::Schedule& hub);
// In variation_recipes the other member varies a picture. brief: fewer settings, of the same kinds.
std::vector<SettingRecipe> variation_recipes(const Shared& shared, const diffusion::Schedule& hub,
                                             bool brief);
// In low_recipes the other member begins at its own resolution and the hub draws on from T_low; the
// naive handoff, which enlarges the noisy latent, is among the settings.
std::vector<SettingRecipe> low_recipes(const Shared& shared);

}  // namespace pangu::study
