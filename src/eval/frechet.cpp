#include "eval/frechet.h"

#include <torch/types.h>

#include <limits>
#include <string>

#include "core/error.h"

namespace pangu::eval {
namespace {

constexpr int64_t kRowsAtOnce = 1024;  // rows that are converted to f64 at once

}  // namespace

void FeatureGaussian::add(const at::Tensor& rows) {
  const int64_t features = shift_.defined() ? shift_.size(0) : rows_.defined() ? rows_.size(1) : -1;
  if (rows.dim() != 2 || (features >= 0 && rows.size(1) != features)) {
    throw Error(ErrorCode::kInternal, "FeatureGaussian: expected rows [N,F] of one F");
  }
  for (const at::Tensor& part : rows.split(kRowsAtOnce)) {
    if (part.size(0) == 0) continue;
    const at::Tensor x = part.detach().to(at::kDouble);
    rows_ = rows_.defined() ? at::cat({rows_, x}) : x;
    count_ += x.size(0);
    if (rows_.size(0) > x.size(1)) fold();
  }
}

// Moves the kept rows into the sums.
void FeatureGaussian::fold() {
  if (!shift_.defined()) {
    shift_ = rows_.mean(0);
    sum_ = at::zeros_like(shift_);
    products_ = at::zeros({rows_.size(1), rows_.size(1)}, at::kDouble);
  }
  const at::Tensor x = rows_ - shift_;
  sum_ += x.sum(0);
  products_.addmm_(x.t(), x);
  rows_ = at::Tensor();
}

at::Tensor FeatureGaussian::mean() const {
  at::Tensor sum = sum_;
  if (!shift_.defined()) return rows_.mean(0);
  if (rows_.defined()) sum = sum + (rows_ - shift_).sum(0);
  return shift_ + sum / double(count_);
}

at::Tensor FeatureGaussian::root() const {
  const at::Tensor centre = mean();
  const double divisor = double(count_ - 1);
  if (!shift_.defined()) return (rows_ - centre) / std::sqrt(divisor);
  at::Tensor products = products_;
  if (rows_.defined()) products = products + (rows_ - shift_).t().matmul(rows_ - shift_);
  const at::Tensor offset = centre - shift_;
  const at::Tensor covariance = (products - double(count_) * at::outer(offset, offset)) / divisor;
  // C = U L U^T, so L^(1/2) U^T is a root. Eigenvalues that come from rounding alone are left out:
  // their square roots would be far larger than themselves.
  const auto [values, vectors] = at::linalg_eigh(covariance);
  const double least =
      values[-1].item<double>() * double(values.size(0)) * std::numeric_limits<double>::epsilon();
  const at::Tensor kept = (values > least).nonzero().squeeze(1);
  return vectors.index_select(1, kept).t() * values.index_select(0, kept).sqrt().unsqueeze(1);
}

int64_t FeatureGaussian::numbers_kept() const {
  int64_t numbers = 0;
  for (const at::Tensor* one : {&rows_, &shift_, &sum_, &products_}) {
    if (one->defined()) numbers += one->numel();
  }
  return numbers;
}

double frechet_distance(const FeatureGaussian& a, const FeatureGaussian& b) {
  if (a.count() < 2 || b.count() < 2) {
    throw bad_input("Frechet distance", "at least two pictures a set",
                    std::to_string(a.count()) + " and " + std::to_string(b.count()));
  }
  const at::Tensor ra = a.root(), rb = b.root();
  if (ra.size(1) != rb.size(1)) {
    throw Error(ErrorCode::kInternal, "frechet_distance: expected [N,F] and [M,F]");
  }
  // tr (C1 C2)^(1/2) is the sum of the square roots of the eigenvalues of ra rb^T rb ra^T, that is
  // of the singular values of ra rb^T: this is exact at any rank and needs no square root of a
  // matrix.
  const at::Tensor cross = at::linalg_svdvals(ra.matmul(rb.t())).sum();
  const at::Tensor distance =
      (a.mean() - b.mean()).square().sum() + ra.square().sum() + rb.square().sum() - 2 * cross;
  return std::max(0.0, distance.item<double>());
}

double frechet_distance(const at::Tensor& a, const at::Tensor& b) {
  FeatureGaussian x, y;
  x.add(a);
  y.add(b);
  return frechet_distance(x, y);
}

}  // namespace pangu::eval
