#include "image/canny.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>

#include "core/testing.h"
#include "image/resize.h"

using namespace pangu;
using namespace pangu::image;

namespace {

// Dark left of `column`, `level` from there on.
Image step(int width, int height, int column, uint8_t level) {
  Image image = filled(width, height, {0, 0, 0});
  for (int y = 0; y < height; ++y) {
    for (int x = column; x < width; ++x) std::fill_n(image.at(x, y), 3, level);
  }
  return image;
}

int count_of(const Image& edges) {
  int count = 0;
  for (size_t i = 0; i < edges.pixels.size(); i += 3) count += edges.pixels[i] == 255;
  return count;
}

Image any_picture() {
  const int width = *rc::gen::inRange(1, 14), height = *rc::gen::inRange(1, 14);
  const int channels = *rc::gen::inRange(3, 5);
  Image image{width, height, channels, {}};
  image.pixels = *rc::gen::container<std::vector<uint8_t>>(size_t(width * height * channels),
                                                           rc::gen::arbitrary<uint8_t>());
  return image;
}

Image turned(const Image& image) {
  Image out{image.height, image.width, image.channels, {}};
  for (int x = 0; x < image.width; ++x) {
    for (int y = 0; y < image.height; ++y) {
      out.pixels.insert(out.pixels.end(), image.at(x, y), image.at(x, y) + image.channels);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a step has an edge one pixel wide, along all of it") {
  const Image edges = canny(step(12, 9, 5, 200));
  for (int y = 0; y < 9; ++y) {
    for (int x = 0; x < 12; ++x) {
      CAPTURE(x);
      CAPTURE(y);
      CHECK(edges.at(x, y)[0] == (x == 4 ? 255 : 0));
    }
  }
}

TEST_CASE("the thresholds are of the Sobel sums: four times a step's height") {
  CHECK(count_of(canny(step(12, 9, 5, 50), {100, 200})) == 0);  // 200 is not above 200
  CHECK(count_of(canny(step(12, 9, 5, 51), {100, 200})) == 9);  // 204 is
  CHECK(count_of(canny(step(12, 9, 5, 51), {203, 203})) == 9);
  CHECK(count_of(canny(step(12, 9, 5, 51), {204, 204})) == 0);
  CHECK(count_of(canny(step(12, 9, 5, 255), {0, 5000})) == 0);
}

TEST_CASE("a weak edge is kept where it goes on from a strong one, and only there") {
  Image image = step(20, 20, 9, 40);  // 160: weak
  CHECK(count_of(canny(image)) == 0);
  for (int y = 0; y < 20; ++y) {  // 360 at the top: strong
    for (int x = 9; x < 20; ++x) std::fill_n(image.at(x, y), 3, std::max(40, 90 - 5 * y));
  }
  const Image edges = canny(image);
  for (int y = 0; y < 20; ++y) CHECK((edges.at(8, y)[0] == 255 || edges.at(9, y)[0] == 255));
}

TEST_CASE("an edge that only one channel has is an edge") {
  Image image = filled(10, 10, {90, 90, 90});
  for (int y = 0; y < 10; ++y) {
    for (int x = 5; x < 10; ++x) image.at(x, y)[2] = 200;
  }
  CHECK(count_of(canny(image)) == 10);
}

TEST_CASE("under L1 a diagonal is as strong as both its sides, under L2 weaker than their sum") {
  Image image = filled(20, 20, {0, 0, 0});
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < y; ++x) std::fill_n(image.at(x, y), 3, 30);  // dx = -90, dy = 90
  }
  CHECK(count_of(canny(image, {150, 150})) > 10);
  CHECK(count_of(canny(image, {150, 150, true})) == 0);
  CHECK(count_of(canny(image, {120, 120, true})) > 10);
}

TEST_CASE("transparency is white") {
  Image image = filled(10, 10, {0, 0, 0}, 4);
  for (int y = 0; y < 10; ++y) {
    for (int x = 5; x < 10; ++x) image.at(x, y)[3] = 0;
  }
  CHECK(count_of(canny(image)) == 10);
  CHECK(canny(image) == canny(composite_over(image)));
}

TEST_CASE(
    "any picture gives edges of its size, black or white, more of them below lower thresholds") {
  CHECK(rc::check([] {
    const Image image = any_picture();
    const bool l2 = *rc::gen::arbitrary<bool>();
    const Image few = canny(image, {300, 600, l2}), many = canny(image, {100, 300, l2});
    RC_ASSERT(few.width == image.width && few.height == image.height && few.channels == 3);
    for (size_t i = 0; i < few.pixels.size(); ++i) {
      RC_ASSERT(few.pixels[i] == 0 || few.pixels[i] == 255);
      RC_ASSERT(few.pixels[i] == few.pixels[i - i % 3]);
      RC_ASSERT(few.pixels[i] <= many.pixels[i]);
    }
  }));
}

TEST_CASE("a picture on its side has its edges on their side") {
  CHECK(rc::check([] {
    const Image image = any_picture();
    RC_ASSERT(canny(turned(image)) == turned(canny(image)));
  }));
}

TEST_CASE("pictures of one pixel, one row and one colour have no edges") {
  CHECK(count_of(canny(filled(1, 1, {255, 0, 0}))) == 0);
  CHECK(count_of(canny(filled(2, 2, {255, 0, 0}, 4))) == 0);
  CHECK(count_of(canny(filled(300, 1, {9, 9, 9}))) == 0);
  CHECK(count_of(canny(step(2, 1, 1, 255))) >= 1);
}

TEST_CASE("thresholds that mean nothing are refused by name") {
  const Image image = filled(3, 3, {});
  CHECK(contains(refusal_of([&] { canny(image, {-1, 200}); }), "low threshold"));
  CHECK(contains(refusal_of([&] { canny(image, {100, 20}); }), "low threshold"));
  const double none = std::numeric_limits<double>::quiet_NaN();
  CHECK(contains(refusal_of([&] { canny(image, {100, none}); }), "high threshold"));
  CHECK(contains(refusal_of([&] { canny(image, {none, 1}); }), "low threshold"));
  CHECK_THROWS_AS(canny(Image{}), Error);
}
