#include "eval/reconstruction.h"

#include <torch/types.h>

#include <cmath>

namespace pangu::eval {
namespace {

constexpr double kLeastSquare = 1e-10;

}  // namespace

at::Tensor psnr_db(const at::Tensor& found, const at::Tensor& wanted) {
  const at::Tensor square =
      (found.clamp(-1, 1) - wanted.clamp(-1, 1)).square().mean({1, 2, 3}).to(at::kDouble);
  // The range of 2 makes the mean square four times that of pixels in [0,1]. at::where, unlike
  // clamp_min, preserves NaN.
  return 10 * at::log10(4 / at::where(square < kLeastSquare, kLeastSquare, square));
}

Reconstruction reconstruction_of(const std::function<at::Tensor(const at::Tensor&)>& encode,
                                 const std::function<at::Tensor(const at::Tensor&)>& decode,
                                 const std::function<at::Tensor()>& next) {
  const at::NoGradGuard no_grad;
  double sum = 0, squares = 0, count = 0, psnr = 0, pictures = 0;
  for (at::Tensor batch = next(); batch.defined(); batch = next()) {
    pictures += double(batch.size(0));
    const at::Tensor z = encode(batch);
    const at::Tensor wide = z.to(at::kDouble);
    sum += wide.sum().item<double>();
    squares += wide.square().sum().item<double>();
    count += double(z.numel());
    psnr += psnr_db(decode(z), batch).sum().item<double>();
  }
  const double mean = sum / count;
  return {mean, std::sqrt(squares / count - mean * mean), psnr / pictures};
}

}  // namespace pangu::eval
