// The judge of concepts: a probe (eval/probe.h) that is fitted on real pictures, as they are and
// softened (eval/features.h), and then applied to drawn pictures. It knows no prompt and no model.
#pragma once
#include <ATen/core/Tensor.h>

#include "eval/cases.h"
#include "eval/features.h"
#include "eval/probe.h"

namespace pangu::eval {

// The penalties that are best on real pictures of held-out pairs, as they are and softened, among
// powers of ten.
inline constexpr double kConceptL2 = 1e-4, kStyleL2 = 1e-3;

// Returns a probe fitted on all views of the items of `rows` ([M] i64, row numbers of view 0).
// real: features of labels.size(0) items (real_features). labels: [items] i64 in [0, classes).
Probe fit_on_views(const Features& real, const at::Tensor& rows, const at::Tensor& labels,
                   int64_t classes, double l2);

// Returns [items] i64, the number of every item's concept in `names`.
at::Tensor concept_labels(const std::vector<data::Item>& items, const Names& names);

// Returns the probe of all items, by which drawn pictures are judged.
Probe fit_concepts(const std::vector<data::Item>& items, const Names& names, const Features& real);

}  // namespace pangu::eval
