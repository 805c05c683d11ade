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
  GaussianSums all = sums();
  shift_ = all.shift;
  sum_ = all.sum;
  products_ = all.products;
  rows_ = at::Tensor();
}

GaussianSums FeatureGaussian::sums() const {
  if (!rows_.defined()) return {count_, shift_, sum_, products_};
  const at::Tensor shift = shift_.defined() ? shift_ : rows_.mean(0);
  const at::Tensor x = rows_ - shift;
  const at::Tensor sum = x.sum(0);
  if (!shift_.defined()) return {count_, shift, sum, x.t().matmul(x)};
  return {count_, shift, sum_ + sum, at::addmm(products_, x.t(), x)};
}

FeatureGaussian::FeatureGaussian(GaussianSums sums) {
  const bool fits = sums.count >= 1 && sums.shift.dim() == 1 &&
                    sums.shift.sizes() == sums.sum.sizes() && sums.products.dim() == 2 &&
                    sums.products.size(0) == sums.shift.size(0) &&
                    sums.products.size(1) == sums.shift.size(0);
  if (!fits) {
    throw bad_input("moments of features", "a mean [F] and a covariance [F,F]",
                    c10::str(sums.shift.sizes()) + " and " + c10::str(sums.products.sizes()));
  }
  count_ = sums.count;
  shift_ = sums.shift.to(at::kDouble);
  sum_ = sums.sum.to(at::kDouble);
  products_ = sums.products.to(at::kDouble);
}

FeatureGaussian FeatureGaussian::of_moments(const at::Tensor& mean, const at::Tensor& covariance) {
  constexpr int64_t kLeast = 2;  // so that the products are the covariance itself
  return FeatureGaussian(GaussianSums{kLeast, mean, at::zeros_like(mean), covariance});
}

// The other's differences are d = x - b where ours are x - a = d + (b - a).
void FeatureGaussian::add(const FeatureGaussian& other) {
  if (other.count_ == 0) return;
  if (count_ == 0) {
    *this = other;
    return;
  }
  const GaussianSums theirs = other.sums();
  GaussianSums ours = sums();
  if (ours.shift.sizes() != theirs.shift.sizes()) {
    throw Error(ErrorCode::kInternal, "FeatureGaussian: expected features of one length");
  }
  const at::Tensor offset = theirs.shift - ours.shift;
  const double count = double(theirs.count);
  const at::Tensor crossed = at::outer(theirs.sum, offset);
  shift_ = ours.shift;
  sum_ = ours.sum + theirs.sum + count * offset;
  products_ =
      ours.products + theirs.products + crossed + crossed.t() + count * at::outer(offset, offset);
  count_ = ours.count + theirs.count;
  rows_ = at::Tensor();
}

at::Tensor FeatureGaussian::mean() const {
  if (!shift_.defined()) return rows_.mean(0);
  at::Tensor sum = sum_;
  if (rows_.defined()) sum = sum + (rows_ - shift_).sum(0);
  return shift_ + sum / double(count_);
}

at::Tensor FeatureGaussian::covariance() const {
  const GaussianSums all = sums();
  const at::Tensor offset = all.sum / double(count_);
  return (all.products - double(count_) * at::outer(offset, offset)) / double(count_ - 1);
}

at::Tensor FeatureGaussian::root() const {
  if (!shift_.defined()) return (rows_ - mean()) / std::sqrt(double(count_ - 1));
  // C = U L U^T, so L^(1/2) U^T is a root. Eigenvalues that come from rounding alone are left out:
  // their square roots would be far larger than themselves.
  const auto [values, vectors] = at::linalg_eigh(covariance());
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
