#include "eval/kernel_distance.h"

#include <torch/types.h>

#include <cmath>
#include <vector>

#include "core/rng_numpy.h"

namespace pangu::eval {
namespace {

at::Tensor cubic_kernel(const at::Tensor& x, const at::Tensor& y) {
  return (x.matmul(y.t()) / double(x.size(1)) + 1).pow_(3);
}

at::Tensor drawn_rows(NumpyRandom& random, const at::Tensor& rows, int64_t count) {
  const std::vector<int64_t> order = random.permutation(static_cast<uint64_t>(rows.size(0)));
  const at::Tensor chosen = at::tensor(std::vector<int64_t>(order.begin(), order.begin() + count));
  return rows.index_select(0, chosen);
}

}  // namespace

double squared_discrepancy(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  const double m = double(x.size(0));
  const auto within = [m](const at::Tensor& rows) {
    const at::Tensor k = cubic_kernel(rows, rows);
    return (k.sum() - k.diagonal().sum()).item<double>() / (m * (m - 1));
  };
  return within(x) + within(y) - 2 * cubic_kernel(x, y).sum().item<double>() / (m * m);
}

Spread kernel_distance(const at::Tensor& a, const at::Tensor& b,
                       const KernelDistanceOptions& options, const OnProgress& progress) {
  if (a.size(0) < options.subset_size || b.size(0) < options.subset_size ||
      options.subset_size < 2) {
    return {std::nan(""), std::nan("")};
  }
  NumpyRandom random(options.seed);
  std::vector<double> found;
  for (int64_t i = 0; i < options.subsets; ++i) {
    const at::Tensor x = drawn_rows(random, a, options.subset_size);
    found.push_back(squared_discrepancy(x, drawn_rows(random, b, options.subset_size)));
    Progress told;
    told.done = i + 1;
    told.total = options.subsets;
    told.unit = "subsets";
    if (progress) progress(told);
  }
  const at::Tensor all = at::tensor(found, at::kDouble);
  return {all.mean().item<double>(), all.std(/*unbiased=*/false).item<double>()};
}

}  // namespace pangu::eval
