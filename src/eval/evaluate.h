// The whole evaluation: it chooses prompts, has them drawn, applies the probe, measures distances,
// checks scenes and collects pictures for grids. The generator is a callable, so that this room
// knows no model. The caller writes all files but the feature cache.
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

// Returns pictures of kPicturePx as the model's autoencoder decodes them after it has encoded them.
using Reconstruct =
    std::function<std::vector<image::Image>(const std::vector<image::Image>& pictures)>;

struct EvalOptions {
  std::set<std::string> parts;  // of eval_parts()
  size_t prompts = 100;         // prompts of each group, in each language
  size_t scenes = 50;
  uint64_t seed = 0;
  // Of the model that is scored, for the ceilings that its autoencoder sets; empty: not measured.
  Reconstruct reconstruct = {};
};

// "probe", "frechet", "scenes".
const std::vector<std::string>& eval_parts();

struct Evaluation {
  Scores scores;                                      // the caller fills in setting and runs
  std::vector<std::pair<Grid, image::Image>> sheets;  // scores.grids names the same
};

// Gets the progress of a phase: "real pictures", "draw", "look".
using OnPhase = std::function<void(const std::string& phase, const Progress& progress)>;

// items: of one dataset; only items with a concept and a style are used (data/manifest.h). Throws
// kBadInput if the dataset does not have what a part needs.
Evaluation evaluate(const std::vector<data::Item>& items, const FeatureSource& source,
                    const std::string& feature_cache, const Generator& generate,
                    const EvalOptions& options, const OnPhase& on_phase = {});

}  // namespace pangu::eval
