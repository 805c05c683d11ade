// The studies that there are, by the kind of the second member: what each draws, shows and is
// called. Opens no model and measures nothing.
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

// The cases of a study; others_prompt as in study_cases.
using CasesOf = std::function<std::vector<Case>(bool others_prompt)>;

// The studies of `kind` (of kExperimentKinds). hub: the schedule by which noise levels are named.
// words: of the settings in which members draw together, those whose name holds one of the words;
// all of them for no words. The members alone are always drawn, since the others are measured
// against them.
std::vector<Experiment> experiments_of(const std::string& kind, const Shared& shared,
                                       const diffusion::Schedule& hub, const CasesOf& cases,
                                       const std::vector<std::string>& words);

}  // namespace pangu::study
