#include "image/fit.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::image;

namespace {

// Grey that grows with x, by columns.
Image columns(const std::vector<uint8_t>& greys, int height) {
  Image image{static_cast<int>(greys.size()), height, 3, {}};
  for (int y = 0; y < height; ++y) {
    for (const uint8_t grey : greys) image.pixels.insert(image.pixels.end(), 3, grey);
  }
  return image;
}

}  // namespace

TEST_CASE("every way to fit has a name, and other names are refused") {
  CHECK(fit_from("crop") == Fit::kCrop);
  CHECK(fit_from("pad") == Fit::kPad);
  CHECK(fit_from("stretch") == Fit::kStretch);
  CHECK(contains(refusal_of([] { fit_from("Crop"); }), "crop, pad or stretch, found 'Crop'"));
}

TEST_CASE("a picture of the frame's shape goes into it whole, whatever the way") {
  for (const Fit fit : {Fit::kCrop, Fit::kPad, Fit::kStretch}) {
    CHECK(placement_of(96, 64, 48, 32, fit) == Placement{{0, 0, 96, 64}, {0, 0, 48, 32}});
    const Image picture = columns({0, 50, 100, 150}, 2);
    CHECK(fitted(picture, 4, 2, fit) == picture);
    CHECK(fitted(picture, 8, 4, fit) == resize(picture, 8, 4));
  }
}

TEST_CASE("cropping keeps a square's circle round, stretching does not") {
  CHECK(placement_of(256, 128, 64, 64, Fit::kCrop) == Placement{{64, 0, 128, 128}, {0, 0, 64, 64}});
  CHECK(placement_of(128, 256, 64, 64, Fit::kCrop) == Placement{{0, 64, 128, 128}, {0, 0, 64, 64}});
  CHECK(placement_of(256, 128, 64, 64, Fit::kStretch) ==
        Placement{{0, 0, 256, 128}, {0, 0, 64, 64}});
  const Image wide = columns({0, 100, 200, 250}, 2);
  CHECK(fitted(wide, 2, 2, Fit::kCrop) == columns({100, 200}, 2));
}

TEST_CASE("padding shows the whole picture and repeats its outermost pixels") {
  CHECK(placement_of(256, 128, 64, 64, Fit::kPad) == Placement{{0, 0, 256, 128}, {0, 16, 64, 32}});
  const Image narrow = columns({10, 200}, 2);
  CHECK(fitted(narrow, 6, 2, Fit::kPad) == columns({10, 10, 10, 200, 200, 200}, 2));
}

TEST_CASE("the thinnest picture fits without more memory than the frame") {
  const Image line{16384, 1, 3, std::vector<uint8_t>(16384 * 3, 7)};
  for (const Fit fit : {Fit::kCrop, Fit::kPad, Fit::kStretch}) {
    CHECK(fitted(line, 1, 64, fit) == filled(1, 64, {7, 7, 7}));
    CHECK(fitted(line, 64, 64, fit) == filled(64, 64, {7, 7, 7}));
  }
  CHECK_THROWS_AS(placement_of(0, 1, 1, 1, Fit::kCrop), Error);
  CHECK_THROWS_AS(fitted(Image{}, 1, 1, Fit::kPad), Error);
}
