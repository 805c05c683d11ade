// The whole evaluation: chooses prompts, has them drawn, asks the probe, measures distances, looks
// through scenes, gathers pictures for grids. The generator arrives as a callable, so that this
// room knows no model; files other than the feature cache are written by the caller.
#pragma once
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/progress.h"
#include "eval/cases.h"
#include "eval/features.h"
#include "eval/scores.h"
#include "image/image.h"

namespace pangu::eval {

struct EvalOptions {
  std::set<std::string> parts;  // of eval_parts()
  size_t prompts = 100;         // of each group, in each language
  size_t scenes = 50;
  uint64_t seed = 0;
};

// "probe", "frechet", "scenes".
const std::vector<std::string>& eval_parts();

struct Evaluation {
  Scores scores;                                      // setting and runs are the caller's
  std::vector<std::pair<Grid, image::Image>> sheets;  // scores.grids names the same
};

// Progress of a phase: "real pictures", "draw", "look".
using OnPhase = std::function<void(const std::string& phase, const Progress& progress)>;

// items: of one dataset, those with concept and style are used (data/manifest.h). Error kBadInput
// if the dataset does not have what a part needs.
Evaluation evaluate(const std::vector<data::Item>& items, const FeatureSource& source,
                    const std::string& feature_cache, const Generator& generate,
                    const EvalOptions& options, const OnPhase& on_phase = {});

}  // namespace pangu::eval
