// The judge of concepts: a probe (eval/probe.h) fitted on real pictures as they are and softened
// (eval/features.h), which drawn pictures are asked about. Knows no prompt and no model.
#pragma once
#include <ATen/core/Tensor.h>

#include "eval/cases.h"
#include "eval/features.h"
#include "eval/probe.h"

namespace pangu::eval {

// The best powers of ten for real pictures of held-out pairs, as they are and softened.
inline constexpr double kConceptL2 = 1e-4, kStyleL2 = 1e-3;

// Fitted on all views of the items of `rows` ([M] i64, numbers of view 0).
// real: of `labels.size(0)` items (real_features). labels: [items] i64 in [0, classes).
Probe fit_on_views(const Features& real, const at::Tensor& rows, const at::Tensor& labels,
                   int64_t classes, double l2);

// [items] i64: the number in `names` that every item's concept has.
at::Tensor concept_labels(const std::vector<data::Item>& items, const Names& names);

// Of all items: what drawn pictures are judged by.
Probe fit_concepts(const std::vector<data::Item>& items, const Names& names, const Features& real);

}  // namespace pangu::eval
