#include "study/experiments.h"

#include <algorithm>

#include "core/error.h"

namespace pangu::study {
namespace {

void keep_settings(std::vector<SettingRecipe>& recipes, const std::vector<std::string>& words) {
  if (words.empty()) return;
  std::erase_if(recipes, [&](const SettingRecipe& one) {
    return one.setting.role == Role::kTogether &&
           std::none_of(words.begin(), words.end(), [&](const std::string& word) {
             return one.setting.name.find(word) != std::string::npos;
           });
  });
}

}  // namespace

std::vector<Experiment> experiments_of(const std::string& kind, const Shared& shared,
                                       const diffusion::Schedule& hub, const CasesOf& cases,
                                       const std::vector<std::string>& words) {
  std::vector<Experiment> found;
  const auto add = [&](Kind measured, const std::string& id, const std::string& title,
                       std::vector<SettingRecipe> recipes, std::vector<Case> shown) {
    keep_settings(recipes, words);
    Experiment one;
    one.plan = {measured, id, title, {}, std::move(shown)};
    for (const SettingRecipe& recipe : recipes) one.plan.settings.push_back(recipe.setting);
    one.recipes = std::move(recipes);
    found.push_back(std::move(one));
  };
  if (kind == "edges") {
    add(Kind::kEdges, "edges", "Text and edges", edges_recipes(shared, hub), cases(false));
  } else if (kind == "variation") {
    add(Kind::kVariation, "variation", "Text and a picture to vary, which the text describes",
        variation_recipes(shared, hub, false), cases(false));
    add(Kind::kVariation, "variation_other", "Text and a picture to vary, of something else",
        variation_recipes(shared, hub, true), cases(true));
  } else if (kind == "low") {
    add(Kind::kLow, "low", "From low to high resolution", low_recipes(shared), cases(false));
  } else {
    throw bad_input("kind of a study", "edges, variation or low", "'" + kind + "'");
  }
  return found;
}

}  // namespace pangu::study
