// The identities of the study's accounting, which hold before anything is trained.
#pragma once
#include <string>
#include <vector>

#include "study/strategy_study.h"

namespace pangu::app {

struct Identity {
  std::string what;
  double expected = 0, found = 0, tolerance = 0;  // tolerance: relative
  bool holds() const;
};

// Of the group whose name is `group`: pictures that its strategies can use follow from its
// histogram, by shares and by the hashes of names; half of the parameters draw, and train on the
// same samples, at half of the cost; every strategy's stages make up its budget.
// Strategies: the first of the group against the study's reference.
std::vector<Identity> identities_of(const study::StrategyStudy& study, const std::string& group);

}  // namespace pangu::app
