#include "tensors/pictures.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/testing.h"

namespace pangu::tensors {
namespace {

// All 256 levels, another order in each channel.
image::Image every_level() {
  image::Image picture{16, 16, 3, {}};
  for (int i = 0; i < 256; ++i) {
    for (const int step : {1, 3, 7}) picture.pixels.push_back(uint8_t(i * step));
  }
  return picture;
}

TEST_CASE("Every byte survives the way to a tensor and back") {
  const image::Image picture = every_level();
  const at::Tensor pixels = pixels_of(picture, -1.0, 1.0);
  CHECK(pixels.sizes() == at::IntArrayRef({1, 3, 16, 16}));
  CHECK(pixels[0][1][0][2].item<float>() == doctest::Approx(6 / 127.5 - 1));
  CHECK(picture_of(pixels[0]) == picture);
}

TEST_CASE("Levels between two bytes are rounded, or cut as PanGu-Draw 3 does; others are clipped") {
  const double level = 2.0 / 255;  // one byte, in [-1,1]
  const at::Tensor row = at::tensor({-1 + 10.6 * level, -1 + 10.4 * level, -1.5, 1.5}, at::kFloat);
  const at::Tensor chw = row.view({1, 1, 4}).expand({3, 1, 4});
  const image::Image rounded = picture_of(chw), cut = picture_of(chw, Levels::kCut);
  CHECK(rounded.width == 4);
  CHECK(rounded.height == 1);
  const int expected_rounded[] = {11, 10, 0, 255}, expected_cut[] = {10, 10, 0, 255};
  for (int x = 0; x < 4; ++x) {
    CHECK(*rounded.at(x, 0) == expected_rounded[x]);
    CHECK(*cut.at(x, 0) == expected_cut[x]);
  }
}

TEST_CASE("Transparency is laid over white before a picture becomes a tensor") {
  const image::Image clear{1, 1, 4, {10, 20, 30, 0}};
  CHECK(at::equal(pixels_of(clear, 0.0, 1.0), at::ones({1, 3, 1, 1})));
  CHECK(levels_of(clear).sizes() == at::IntArrayRef({1, 1, 4}));
}

}  // namespace
}  // namespace pangu::tensors
