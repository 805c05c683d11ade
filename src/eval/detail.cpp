#include "eval/detail.h"

#include <torch/fft.h>
#include <torch/types.h>

namespace pangu::eval {
namespace {

constexpr double kMiddle = 1.0 / 8, kFine = 1.0 / 4;  // cycles a pixel

}  // namespace

Detail& Detail::operator+=(const Detail& other) {
  middle += other.middle;
  fine += other.fine;
  return *this;
}

Detail detail_of(const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const at::Tensor x = images.to(at::kDouble);
  const at::Tensor grey = 0.299 * x.select(1, 0) + 0.587 * x.select(1, 1) + 0.114 * x.select(1, 2);
  const auto pixels = double(grey.size(1) * grey.size(2));
  // Parseval: the energies add up to the mean square of the grey values.
  const at::Tensor energy = (torch::fft::fft2(grey).abs() / pixels).square();
  const at::Tensor down = torch::fft::fftfreq(grey.size(1), x.options()).square().unsqueeze(1);
  const at::Tensor frequency =
      (down + torch::fft::fftfreq(grey.size(2), x.options()).square()).sqrt();
  const auto sum_of = [&](const at::Tensor& mask) { return (energy * mask).sum().item<double>(); };
  return {sum_of((frequency >= kMiddle).logical_and(frequency < kFine)),
          sum_of(frequency >= kFine)};
}

}  // namespace pangu::eval
