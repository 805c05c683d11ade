#include "image/soft_edges.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cstdlib>

using namespace pangu::image;

namespace {

// A vertical bar of soft sides that grows brighter downwards: 180 + y at `column`, falling by
// `fall` a pixel. (Where neighbours are equal, every pixel would be a ridge.)
Image bar(int width, int height, int column, int fall) {
  Image image = filled(width, height, {0, 0, 0});
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int level = 180 + y - fall * std::abs(x - column);
      std::fill_n(image.at(x, y), 3, uint8_t(std::max(0, level)));
    }
  }
  return image;
}

}  // namespace

TEST_CASE("safe levels are the three that thirds of the range fall to") {
  Image ramp = filled(256, 1, {0, 0, 0});
  for (int x = 0; x < 256; ++x) std::fill_n(ramp.at(x, 0), 3, uint8_t(x));
  const Image safe = safe_levels(ramp);
  for (int x = 0; x < 256; ++x) CHECK(safe.at(x, 0)[1] == (x < 85 ? 0 : x < 170 ? 127 : 255));
}

TEST_CASE("a scribble follows the middle of a soft line, with the same width all along") {
  const Image found = scribble(bar(60, 40, 30, 10));
  for (int y = 8; y < 26; ++y) {  // the last row has no brighter one below and is a ridge
    for (int x = 0; x < 60; ++x) {
      CAPTURE(x);
      CAPTURE(y);
      // A column of 255 blurred by sigma 3 is above 4 up to 6 px to each side.
      CHECK(found.at(x, y)[0] == (std::abs(x - 30) <= 6 ? 255 : 0));
    }
  }
}

TEST_CASE("faint lines leave no scribble") {
  Image faint = bar(60, 40, 30, 10);
  for (uint8_t& byte : faint.pixels) byte /= 3;
  CHECK(scribble(faint) == filled(60, 40, {0, 0, 0}));
}

TEST_CASE("any map, also of one pixel, gives black and white of its size") {
  CHECK(rc::check([] {
    const int width = *rc::gen::inRange(1, 30), height = *rc::gen::inRange(1, 30);
    Image image{width, height, 3, {}};
    image.pixels = *rc::gen::container<std::vector<uint8_t>>(size_t(width * height * 3),
                                                             rc::gen::arbitrary<uint8_t>());
    const Image found = scribble(image);
    RC_ASSERT(found.width == width && found.height == height && found.channels == 3);
    for (const uint8_t byte : found.pixels) RC_ASSERT(byte == 0 || byte == 255);
  }));
  CHECK(scribble(filled(1, 1, {255, 255, 255})) == filled(1, 1, {255, 255, 255}));
}
