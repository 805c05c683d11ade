// The Frechet distance between two sets of feature vectors, each seen as a Gaussian:
//   |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))
// Dowson and Landau 1982; on Inception features Heusel et al. 2017 call it FID. With fewer rows
// than features the covariances have no full rank: the distance is still defined, but it falls
// with the number of rows, so compare only distances between sets of equal sizes.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pangu::eval {

// The Gaussian of feature vectors that come part by part, in f64. It keeps the rows as long as they
// are fewer than features, then their sums and the sums of their products, both taken from a point
// near the mean so that no digits are lost: at most about 2 F^2 numbers, however many rows there
// are.
class FeatureGaussian {
 public:
  // rows: [N,F], any floating type, F the same in every call.
  void add(const at::Tensor& rows);

  int64_t count() const { return count_; }
  at::Tensor mean() const;  // [F]; at least one row
  // [R,F] with R <= F: root^T root is the covariance, which divides by count - 1. At least two
  // rows.
  at::Tensor root() const;
  int64_t numbers_kept() const;

 private:
  void fold();

  int64_t count_ = 0;
  at::Tensor rows_;         // [N,F] not yet in the sums, or undefined
  at::Tensor shift_, sum_;  // [F]; sum of rows less the shift
  at::Tensor products_;     // [F,F] sum of their outer products; undefined at first
};

// Error kBadInput if one of them has fewer than two rows.
double frechet_distance(const FeatureGaussian& a, const FeatureGaussian& b);

// Of all rows of a: [N,F] and b: [M,F].
double frechet_distance(const at::Tensor& a, const at::Tensor& b);

}  // namespace pangu::eval
