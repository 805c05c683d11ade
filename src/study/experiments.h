// The list of studies, by the kind of the second member: the settings, cases and titles of each. It
// opens no model and measures nothing.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "study/recipes.h"
#include "study/study.h"

namespace pangu::study {

// The kinds of the member that draws with the hub.
inline constexpr const char* kExperimentKinds[] = {"edges", "variation", "low"};

// One study and, for every setting of its plan, the recipe that draws it.
struct Experiment {
  Plan plan;
  std::vector<SettingRecipe> recipes;
};

// Returns the cases of a study; others_prompt as in study_cases.
using CasesOf = std::function<std::vector<Case>(bool others_prompt)>;

// Returns the studies of `kind` (one of kExperimentKinds). hub: the schedule by whose t noise
// levels are named. words: selects, of the settings in which members draw together, those whose
// name contains one of the words; no words select all. The members alone are always drawn, since
// the others are measured against them.
std::vector<Experiment> experiments_of(const std::string& kind, const Shared& shared,
                                       const diffusion::Schedule& hub, const CasesOf& cases,
                                       const std::vector<std::string>& words);

}  // namespace pangu::study
