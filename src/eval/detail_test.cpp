// Tests the bands of frequencies on waves whose energy is known.
#include "eval/detail.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

namespace pangu::eval {
namespace {

// [1,3,32,32]: a grey wave of so many cycles down and across the picture.
at::Tensor wave(int64_t down, int64_t across, double height) {
  constexpr int64_t kSide = 32;
  const at::Tensor at_pixel = at::arange(kSide, at::kDouble) * (2 * std::acos(-1.0) / kSide);
  const at::Tensor phase = (at_pixel * double(down)).unsqueeze(1) + at_pixel * double(across);
  return (at::cos(phase) * height).expand({1, 3, kSide, kSide});
}

TEST_CASE("a wave's energy, half of its height squared, is in the band of its frequency") {
  const Detail smooth = detail_of(wave(3, 0, 0.8));  // 3/32 cycles a pixel
  CHECK(smooth.middle == doctest::Approx(0).epsilon(1e-9));
  CHECK(smooth.fine == doctest::Approx(0).epsilon(1e-9));
  const Detail middle = detail_of(wave(0, 5, 0.8));
  CHECK(middle.middle == doctest::Approx(0.32));
  CHECK(middle.fine == doctest::Approx(0).epsilon(1e-9));
  // Neither direction alone reaches a quarter of a cycle, both together do.
  const Detail fine = detail_of(wave(7, 7, 0.8));
  CHECK(fine.middle == doctest::Approx(0).epsilon(1e-9));
  CHECK(fine.fine == doctest::Approx(0.32));
}

TEST_CASE("energies of pictures are added up, and do not depend on their mean") {
  Detail apart = detail_of(wave(5, 0, 0.5));
  apart += detail_of(wave(9, 0, 0.25) + 0.3);
  const Detail together = detail_of(at::cat({wave(5, 0, 0.5), wave(9, 0, 0.25) + 0.3}));
  CHECK(together.middle == doctest::Approx(apart.middle));
  CHECK(together.fine == doctest::Approx(apart.fine));
  CHECK(apart.middle == doctest::Approx(0.125));
  CHECK(apart.fine == doctest::Approx(0.03125));
}

}  // namespace
}  // namespace pangu::eval
