// The Frechet distance between two sets of feature vectors, each taken as a Gaussian:
//   |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))
// Dowson and Landau 1982; on Inception features Heusel et al. 2017 call it FID. With fewer rows
// than features the covariances have no full rank: the distance is still defined, but it falls
// with the number of rows, so compare only distances between sets of equal sizes.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pangu::eval {

// What a Gaussian of feature vectors is made of, for files: sums that belong to a point near the
// mean. All f64.
struct GaussianSums {
  int64_t count = 0;
  at::Tensor shift, sum;  // [F]; sum of the rows minus the shift
  at::Tensor products;    // [F,F] sum of the outer products of these differences
};

// The Gaussian of feature vectors that are added part by part, in f64. It keeps the rows while
// there are fewer rows than features, and after that their sums and the sums of their products,
// relative to a point near the mean so that no digits are lost. It needs at most about 2 F^2
// numbers, however many rows there are.
class FeatureGaussian {
 public:
  FeatureGaussian() = default;
  // Throws kBadInput if the shapes contradict.
  explicit FeatureGaussian(GaussianSums sums);
  // A Gaussian of which mean [F] and covariance [F,F] are all that is known; its count is 2, the
  // least. Throws as the above.
  static FeatureGaussian of_moments(const at::Tensor& mean, const at::Tensor& covariance);

  // rows: [N,F], any floating type, F the same in every call.
  void add(const at::Tensor& rows);
  // Adds the rows of another one, up to rounding as if they had been added one by one.
  void add(const FeatureGaussian& other);

  int64_t count() const { return count_; }
  at::Tensor mean() const;        // [F]; at least one row
  at::Tensor covariance() const;  // [F,F], divided by count - 1; at least two rows
  GaussianSums sums() const;      // at least one row
  // Returns [R,F] with R <= F, of which root^T root is the covariance (divided by count - 1). At
  // least two rows.
  at::Tensor root() const;
  int64_t numbers_kept() const;

 private:
  void fold();

  int64_t count_ = 0;
  at::Tensor rows_;         // [N,F] not yet in the sums, or undefined
  at::Tensor shift_, sum_;  // [F]; sum of the rows minus the shift
  at::Tensor products_;  // [F,F] sum of the outer products of these differences; undefined at first
};

// The distance of two Gaussians. Throws kBadInput if one of them has fewer than two rows.
double frechet_distance(const FeatureGaussian& a, const FeatureGaussian& b);

// The distance of all rows of a: [N,F] from all rows of b: [M,F].
double frechet_distance(const at::Tensor& a, const at::Tensor& b);

}  // namespace pangu::eval
