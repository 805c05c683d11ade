// How good a model draws that a training has come to, at a fixed point along its way: distances of
// drawn pictures from real ones, and how often a probe sees in them what was asked for. The
// generator is a callable, so this file knows no model and no training.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "eval/cases.h"
#include "study/study.h"

namespace pangu::study {

// Mean squared error of the prediction at a noise level, on pictures that no training sees.
struct LossAtSigma {
  double t_index = 0, sigma = 0, loss = 0;
  bool operator==(const LossAtSigma&) const = default;
};

struct Quality {
  int64_t drawn = 0, reference = 0;  // pictures
  double mixed6 = 0, final = 0;      // Frechet distances of the drawn from the reference
  eval::Accuracy trained, held_out;  // concepts seen, of trained and of held-out pairs
  std::vector<LossAtSigma> losses;   // by t, filled in by the caller
  double loss = 0;                   // their mean over t
};

nlohmann::json to_json(const Quality& quality);
Quality quality_from(const nlohmann::json& json);

// The prompts of a study: of trained pairs of concept and style and of pairs that were held out, in
// English and Chinese, `count` of each at most. Prompt k has the seed first_seed + k in every
// model.
struct QualityCases {
  std::vector<eval::Wish> wishes;
  std::vector<int64_t> labels;  // number of each one's concept
  std::vector<bool> held_out;
  std::vector<size_t> items;  // the real pictures of the same pairs, each once
};
QualityCases quality_cases(const std::vector<data::Item>& items, const eval::Names& concepts,
                           size_t count, uint64_t first_seed);

struct QualityFound {
  Quality quality;
  std::vector<image::Image> pictures;  // one for each wish
};

// Draws the cases and measures them against all real pictures but those of the same pairs.
QualityFound measure_quality(const QualityCases& cases, const Judge& judge,
                             const eval::Generator& generate);

// The same of the real pictures of the cases themselves: what a perfect model would be measured at.
Quality floor_of(const QualityCases& cases, const Judge& judge);

// The mean over t of losses at increasing t, by trapezoids. REQUIRES: two at least.
double mean_over_t(const std::vector<LossAtSigma>& losses);

}  // namespace pangu::study
