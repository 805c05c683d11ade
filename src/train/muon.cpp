#include "train/muon.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/processor.h"

namespace pangu::train {
namespace {

constexpr int kIterations = 5;
// x (a + b x^2 + c x^4): Jordan et al.'s, steep at 0 and never far from 1 above.
constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
constexpr double kTiny = 1e-30;      // a norm below this is no direction
constexpr double kUpdateSize = 0.2;  // root mean square of AdamW's updates in practice (Liu et al.)

// Whether the iterations take fewer operations on the square x x^T: 4 m^2 n + 34 m^3 instead of
// 20 m^2 n + 10 m^3.
bool gains_by_square(int64_t rows, int64_t columns) { return columns >= 2 * rows; }

// x: [m,n] of norm 1, m <= n, f32. The same iterations on the square g = x x^T alone: every factor
// of x is a polynomial of g, these commute, and x is multiplied by all of them at the end. Squaring
// costs half of the digits of small singular values, so that f32 is needed.
at::Tensor iterated_by_square(const at::Tensor& x) {
  at::Tensor g = at::mm(x, x.t()), all;
  for (int i = 0; i < kIterations; ++i) {
    at::Tensor factor = at::addmm(g, g, g, kB, kC);
    factor.diagonal().add_(kA);
    all = all.defined() ? at::mm(factor, all) : factor;
    if (i + 1 < kIterations) g = at::mm(at::mm(factor, g), factor);
  }
  return at::mm(all, x);
}

at::Tensor iterated(at::Tensor x) {
  for (int i = 0; i < kIterations; ++i) {
    const at::Tensor a = at::mm(x, x.t());
    x = at::addmm(x, at::addmm(a, a, a, kB, kC), x, kA);
  }
  return x;
}

}  // namespace

bool is_inner_matrix(const std::string& name, const at::Tensor& param) {
  if (param.dim() < 2) return false;
  for (const char* outer : {"conv_in.", "conv_out.", "embedding"}) {
    if (name.find(outer) != std::string::npos) return false;
  }
  return true;
}

at::ScalarType muon_dtype(const at::Tensor& param) {
  if (param.scalar_type() != at::kBFloat16) return at::kFloat;
  return param.is_cuda() || processor_multiplies_bf16() ? at::kBFloat16 : at::kFloat;
}

at::Tensor orthogonalised(const at::Tensor& matrix, at::ScalarType dtype) {
  const bool tall = matrix.size(0) > matrix.size(1);
  const at::Tensor wide = tall ? matrix.t() : matrix;  // the smaller square is cheaper
  const double norm = wide.norm().item<double>();
  at::Tensor x = (wide / std::max(norm, kTiny)).to(dtype).contiguous();
  const bool by_square = dtype == at::kFloat && gains_by_square(x.size(0), x.size(1));
  x = by_square ? iterated_by_square(x) : iterated(x);
  return (tall ? x.t() : x).to(at::kFloat).contiguous();
}

double orthogonalising_flop(at::IntArrayRef shape, at::ScalarType dtype) {
  double rows = double(shape[0]), columns = 1;
  for (const int64_t side : shape.slice(1)) columns *= double(side);
  const double least = std::min(rows, columns), most = std::max(rows, columns);
  const double square = least * least * least, oblong = least * least * most;
  if (dtype != at::kFloat || !gains_by_square(int64_t(least), int64_t(most))) {
    return kIterations * 2 * (2 * oblong + square);
  }
  return 2 * (2 * oblong + (4 * kIterations - 3) * square);
}

double muon_scale(int64_t rows, int64_t columns) {
  return kUpdateSize * std::sqrt(double(std::max(rows, columns)));
}

}  // namespace pangu::train
