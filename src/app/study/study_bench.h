// What the study of strategies looks at models with: the real pictures with their features, a probe
// fitted on them, and the prompts. Opened once, and kept as a file beside the trainings.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "study/quality.h"

namespace pangu::app {

struct StudyBench {
  std::vector<data::Item> items;
  eval::FeatureSource source;
  eval::Features real;
  eval::Names concepts;
  std::optional<eval::Probe> probe;
  study::QualityCases cases;

  study::Judge judge() const { return {items, source, real, *probe}; }
};

// data: a dataset with concepts and styles. inception: weights of the feature extractor. cache: the
// file of features. prompts: as of study::quality_cases. on_picture may throw, to stop.
StudyBench open_study_bench(const std::string& data, const std::string& inception,
                            const std::string& cache, size_t prompts,
                            const std::function<void()>& on_picture);

}  // namespace pangu::app
