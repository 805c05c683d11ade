#include "eval/frechet.h"

#include <torch/types.h>

#include <string>

#include "core/error.h"

namespace pangu::eval {
namespace {

// Rows less their mean, over sqrt(N - 1): C = r^T r.
at::Tensor root_rows(const at::Tensor& x, const at::Tensor& mean) {
  return (x - mean) / std::sqrt(double(x.size(0) - 1));
}

}  // namespace

double frechet_distance(const at::Tensor& a, const at::Tensor& b) {
  if (a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(1)) {
    throw Error(ErrorCode::kInternal, "frechet_distance: expected [N,F] and [M,F]");
  }
  if (a.size(0) < 2 || b.size(0) < 2) {
    throw bad_input("Frechet distance", "at least two pictures a set",
                    std::to_string(a.size(0)) + " and " + std::to_string(b.size(0)));
  }
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  const at::Tensor mean_x = x.mean(0), mean_y = y.mean(0);
  const at::Tensor rx = root_rows(x, mean_x), ry = root_rows(y, mean_y);
  // tr (C1 C2)^(1/2) is the sum of the square roots of the eigenvalues of rx ry^T ry rx^T, that is
  // of the singular values of rx ry^T: exact at any rank, and no square root of a matrix.
  const at::Tensor cross = at::linalg_svdvals(rx.matmul(ry.t())).sum();
  const at::Tensor distance =
      (mean_x - mean_y).square().sum() + rx.square().sum() + ry.square().sum() - 2 * cross;
  return std::max(0.0, distance.item<double>());
}

}  // namespace pangu::eval
