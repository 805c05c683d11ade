#include "image/resize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/error.h"
#include "image/resize_goldens.h"
#include "image/sheet.h"

using namespace pangu;
using namespace pangu::image;

namespace {

// The same formula as pattern() in tools/make_image_fixtures.py.
Image pattern(int channels) {
  Image image{13, 9, channels, {}};
  for (int y = 0; y < 9; ++y) {
    for (int x = 0; x < 13; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<uint8_t>((x * 37 + y * 91 + c * 53 + x * y * 7) % 256));
      }
    }
  }
  return image;
}

Image decoded(const ResizeGolden& golden) {
  Image image{golden.width, golden.height, golden.channels, {}};
  const std::string hex = golden.hex;
  for (size_t i = 0; i < hex.size(); i += 2) {
    image.pixels.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return image;
}

int largest_difference(const Image& a, const Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return largest;
}

int largest_alpha_difference(const Image& a, const Image& b) {
  int largest = 0;
  for (size_t i = 3; i < a.pixels.size(); i += 4) {
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return largest;
}

}  // namespace

TEST_CASE("resized noise is Pillow's within one step, with alpha within three after composing") {
  for (const ResizeGolden& golden : kResizeGoldens) {
    CAPTURE(golden.channels);
    CAPTURE(static_cast<int>(golden.filter));
    CAPTURE(golden.width);
    const Image expected = decoded(golden);
    const Image got = resize(pattern(golden.channels), golden.width, golden.height, golden.filter);
    if (golden.channels == 3) {
      CHECK(largest_difference(got, expected) <= (golden.filter == Filter::kNearest ? 0 : 1));
    } else {
      // Pillow rounds colours times alpha to 8 bits before it filters, and sharp filters amplify
      // that on noise; what is seen is what counts.
      CHECK(largest_alpha_difference(got, expected) <= 1);
      CHECK(largest_difference(composite_over(got), composite_over(expected)) <= 3);
    }
  }
}

TEST_CASE("one colour stays that colour at any size and filter") {
  for (const Filter filter :
       {Filter::kNearest, Filter::kBox, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos3}) {
    for (const auto& [w, h] : {std::pair{1, 1}, {3, 50}, {64, 2}}) {
      CHECK(resize(filled(17, 11, {200, 100, 3}), w, h, filter) == filled(w, h, {200, 100, 3}));
    }
  }
}

TEST_CASE("shrinking does not alias: one-pixel stripes become grey") {
  Image stripes = filled(64, 8, {0, 0, 0});
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 64; x += 2) std::fill_n(stripes.at(x, y), 3, uint8_t{255});
  }
  const Image small = resize(stripes, 16, 8);
  for (int x = 2; x < 14; ++x) CHECK(std::abs(small.at(x, 4)[0] - 127) <= 2);
}

TEST_CASE("a transparent neighbour's colour does not bleed") {
  Image image = filled(8, 8, {255, 0, 0}, 4);
  for (int y = 0; y < 8; ++y) {
    for (int x = 4; x < 8; ++x) {
      uint8_t* pixel = image.at(x, y);
      pixel[0] = 0, pixel[1] = 255, pixel[3] = 0;  // green, but invisible
    }
  }
  const Image small = resize(image, 3, 3, Filter::kBilinear);
  CHECK(small.at(1, 1)[3] > 60);
  CHECK(small.at(1, 1)[0] == 255);
  CHECK(small.at(1, 1)[1] == 0);
}

TEST_CASE("crop takes the part, and refuses what lies outside") {
  const Image image = pattern(3);
  const Image part = crop(image, 2, 3, 4, 5);
  CHECK(part.width == 4);
  CHECK(part.height == 5);
  CHECK(std::equal(part.at(1, 1), part.at(1, 1) + 3, image.at(3, 4)));
  CHECK_THROWS_AS(crop(image, 10, 0, 4, 4), Error);
  CHECK_THROWS_AS(crop(image, -1, 0, 4, 4), Error);
  CHECK_THROWS_AS(resize(image, 0, 4), Error);
}

TEST_CASE("flipping twice is nothing, once mirrors x") {
  const Image image = pattern(4);
  CHECK(flip_horizontal(flip_horizontal(image)) == image);
  CHECK(std::equal(image.at(0, 2), image.at(0, 2) + 4, flip_horizontal(image).at(12, 2)));
}

TEST_CASE("composing shows the background where the picture is clear") {
  Image image = filled(2, 1, {0, 0, 0}, 4);
  image.at(0, 0)[3] = 0;
  image.at(1, 0)[3] = 51;  // a fifth
  const Image flat = composite_over(image, {10, 20, 200});
  CHECK(flat.channels == 3);
  CHECK(flat.pixels == std::vector<uint8_t>{10, 20, 200, 8, 16, 160});
}

TEST_CASE("paste is cut at the edges of its canvas, on both sides") {
  Image canvas = filled(4, 4, {0, 0, 0});
  paste(canvas, filled(2, 2, {9, 9, 9}), {-2, -2, 4, 4});
  paste(canvas, filled(1, 1, {7, 7, 7}), {3, 3, 5, 5});
  paste(canvas, filled(1, 1, {1, 1, 1}), {40, 3, 5, 5});
  CHECK(canvas.at(1, 1)[0] == 9);
  CHECK(canvas.at(2, 1)[0] == 0);
  CHECK(canvas.at(3, 3)[0] == 7);
  CHECK(canvas.at(2, 3)[0] == 0);
}

TEST_CASE("pasting on a clear canvas keeps the picture's own colour and alpha") {
  Image canvas = filled(1, 1, {50, 60, 70}, 4);
  canvas.pixels[3] = 0;
  Image half = filled(1, 1, {200, 100, 0}, 4);
  half.pixels[3] = 128;
  paste(canvas, half, {0, 0, 1, 1});
  CHECK(canvas.pixels == half.pixels);
}

TEST_CASE("alpha bounds hold exactly what is visible") {
  Image image = filled(9, 7, {1, 2, 3}, 4);
  for (size_t i = 3; i < image.pixels.size(); i += 4) image.pixels[i] = 0;
  CHECK(alpha_bounds(image) == Box{});
  image.at(2, 3)[3] = 255;
  image.at(5, 4)[3] = 100;
  CHECK(alpha_bounds(image) == Box{2, 3, 4, 2});
  CHECK(alpha_bounds(pattern(3)) == Box{0, 0, 13, 9});
}

TEST_CASE("cover fills and contain fits, both centred, at extreme shapes too") {
  Image wide = filled(30, 10, {255, 0, 0});
  for (int y = 0; y < 10; ++y) std::fill_n(wide.at(10, y), 30, uint8_t{0});  // a black middle
  CHECK(cover(wide, 10, 10, Filter::kNearest) == filled(10, 10, {0, 0, 0}));
  const Image fitted = contain(wide, 30, 30, {1, 2, 3}, Filter::kNearest);
  CHECK(fitted.at(0, 0)[2] == 3);
  CHECK(fitted.at(0, 15)[0] == 255);
  const Image thread = filled(1000, 1, {5, 5, 5});
  CHECK(contain(thread, 8, 8, {5, 5, 5}) == filled(8, 8, {5, 5, 5}));
  CHECK(cover(thread, 8, 8) == filled(8, 8, {5, 5, 5}));
}

TEST_CASE("a sheet places pictures row by row") {
  const Image sheet = contact_sheet(
      {filled(4, 4, {255, 0, 0}), filled(4, 4, {0, 255, 0}), filled(4, 4, {0, 0, 255})},
      {2, 8, 1, {9, 9, 9}});
  CHECK(sheet.width == 19);
  CHECK(sheet.height == 19);
  CHECK(sheet.at(0, 0)[0] == 9);
  CHECK(sheet.at(5, 5)[0] == 255);
  CHECK(sheet.at(14, 5)[1] == 255);
  CHECK(sheet.at(5, 14)[2] == 255);
  CHECK(sheet.at(14, 14)[0] == 9);
  CHECK_THROWS_AS(contact_sheet({}), Error);
}
