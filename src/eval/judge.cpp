#include "eval/judge.h"

#include <torch/types.h>

namespace pangu::eval {

Probe fit_on_views(const Features& real, const at::Tensor& rows, const at::Tensor& labels,
                   int64_t classes, double l2) {
  const int64_t n = labels.size(0);
  std::vector<at::Tensor> views;
  for (int64_t view = 0; view < kViews; ++view) views.push_back(rows + view * n);
  const at::Tensor index = at::cat(views);
  return Probe::fit(real.mixed6.index_select(0, index), labels.index_select(0, index % n), classes,
                    {.l2 = l2});
}

at::Tensor concept_labels(const std::vector<data::Item>& items, const Names& names) {
  std::vector<int64_t> labels;
  for (const data::Item& item : items) labels.push_back(names.number.at(item.concept_id));
  return at::tensor(labels, at::kLong);
}

Probe fit_concepts(const std::vector<data::Item>& items, const Names& names, const Features& real) {
  return fit_on_views(real, at::arange(int64_t(items.size()), at::kLong),
                      concept_labels(items, names), int64_t(names.by_number.size()), kConceptL2);
}

}  // namespace pangu::eval
