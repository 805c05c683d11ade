// The Kernel Inception Distance of two sets of feature vectors (Binkowski et al. 2018): the
// unbiased squared maximum mean discrepancy by the kernel (x.y / F + 1)^3, over random subsets.
// Subsets are drawn as torch-fidelity draws them, by NumPy's generator.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/progress.h"
#include "eval/inception_score.h"

namespace pangu::eval {

struct KernelDistanceOptions {
  int64_t subsets = 100, subset_size = 1000;
  uint64_t seed = kScoreSeed;
};

// Of two sets of as many rows each, [M,F] any floating type; at least two rows. May be below 0.
double squared_discrepancy(const at::Tensor& a, const at::Tensor& b);

// a: [N,F], b: [M,F]. Mean and deviation over the subsets; NaN if a set has fewer rows than a
// subset.
Spread kernel_distance(const at::Tensor& a, const at::Tensor& b,
                       const KernelDistanceOptions& options = {}, const OnProgress& progress = {});

}  // namespace pangu::eval
