// The Frechet distance between two sets of feature vectors, each seen as a Gaussian:
//   |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))
// Dowson and Landau 1982; on Inception features Heusel et al. 2017 call it FID. With fewer rows
// than features the covariances have no full rank: the distance is still defined, but it falls
// with the number of rows, so compare only distances between sets of equal sizes.
#pragma once
#include <ATen/core/Tensor.h>

namespace pangu::eval {

// a: [N,F], b: [M,F], any floating type, N and M >= 2 (else Error kBadInput); computed in f64.
// The covariances divide by N - 1 and M - 1.
double frechet_distance(const at::Tensor& a, const at::Tensor& b);

}  // namespace pangu::eval
