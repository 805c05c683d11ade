#include "app/study/study_bench.h"

#include <torch/types.h>

#include <iostream>

#include "data/dataset.h"

namespace pangu::app {

StudyBench open_study_bench(const std::string& data, const std::string& inception,
                            const std::string& cache, size_t prompts,
                            const std::function<void()>& on_picture) {
  StudyBench bench;
  data::Report report;
  bench.items = data::open_dataset(data, report);
  if (!report.is_clean()) std::cerr << report.text() << "\n";
  std::erase_if(bench.items,
                [](const data::Item& i) { return i.concept_id.empty() || i.style.empty(); });
  bench.source = eval::inception_features(inception);
  bench.real =
      eval::real_features(bench.source, bench.items, cache, [&](const Progress&) { on_picture(); });
  bench.concepts = eval::concepts_of(bench.items);
  bench.cases = study::quality_cases(bench.items, bench.concepts, prompts, /*first_seed=*/0);
  bench.probe = eval::fit_concepts(bench.items, bench.concepts, bench.real);
  return bench;
}

}  // namespace pangu::app
