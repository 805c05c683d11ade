// Compares the three conventions with what torch-fidelity 0.4.0, clean-fid 0.1.35 (with Pillow 13)
// and PyTorch 2.13 make of the same pixels.
#include "eval/fid_resize.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/testing.h"

namespace pangu::eval {
namespace {

image::Image patterned(int width, int height, int channels = 3) {
  image::Image picture{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        picture.pixels.push_back(static_cast<uint8_t>(37 * x + 91 * y + 53 * c + 11 * x * y));
      }
    }
  }
  return picture;
}

void check_pixels(const image::Image& picture, FidResize resize,
                  const std::vector<double>& wanted) {
  const int64_t places[][3] = {{0, 0, 0}, {1, 150, 149}, {2, 298, 298}, {0, 61, 200}, {1, 222, 17}};
  const at::Tensor found = fid_pixels(picture, resize);
  REQUIRE(found.sizes() == at::IntArrayRef({1, 3, 299, 299}));
  for (size_t i = 0; i < wanted.size(); ++i) {
    CAPTURE(name_of(resize));
    CAPTURE(i);
    // f32 of values up to 255, with weights that are rounded to f32.
    CHECK(std::abs(found[0][places[i][0]][places[i][1]][places[i][2]].item<double>() - wanted[i]) <
          5e-6);
  }
}

TEST_CASE("small pictures are enlarged as each tool enlarges them") {
  const image::Image picture = patterned(7, 5);
  check_pixels(picture, FidResize::kTensorflow, {-1.0, -0.059092, 0.46875, -0.510869, 0.295346});
  check_pixels(picture, FidResize::kClean, {-1.0, 0.217398, 0.732257, -0.397467, -0.431909});
  check_pixels(picture, FidResize::kPytorch, {-1.0, 0.206217, 0.47451, -0.275569, -0.293436});
}

TEST_CASE("large pictures are shrunk as each tool shrinks them") {
  const image::Image picture = patterned(400, 320);
  check_pixels(picture, FidResize::kTensorflow, {-1.0, 0.865326, 0.196135, -0.317955, -0.260077});
  check_pixels(picture, FidResize::kClean, {-0.914595, 0.992188, 0.157056, -0.341827, -0.265863});
  check_pixels(picture, FidResize::kPytorch, {-0.925411, 0.881968, 0.18421, -0.342247, -0.452428});
}

TEST_CASE("pictures of 299 pixels stay as they are, and transparency is not looked at") {
  const image::Image picture = patterned(299, 299);
  const at::Tensor found = fid_pixels(picture, FidResize::kClean);
  CHECK(at::equal(found, fid_pixels(picture, FidResize::kTensorflow)));
  CHECK(found[0][0][0][1].item<float>() == (37 - 128) / 128.f);
  image::Image clear{2, 1, 4, {10, 20, 30, 0, 40, 50, 60, 255}};
  CHECK(fid_pixels(clear, FidResize::kTensorflow)[0][2][0][0].item<float>() == (30 - 128) / 128.f);
}

TEST_CASE("a convention is chosen by its tool's name") {
  CHECK(fid_resize_of("clean-fid", "--resize") == FidResize::kClean);
  CHECK(contains(refusal_of([] { fid_resize_of("bicubic", "--resize"); }), "pytorch-fid"));
}

}  // namespace
}  // namespace pangu::eval
