// What random masks look like, and that their numbers decide them.
#include "image/random_mask.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "core/error.h"

using namespace pangu;
using namespace pangu::image;

namespace {

int64_t drawn_anew(const Mask& mask) {
  return std::count(mask.pixels.begin(), mask.pixels.end(), uint8_t{1});
}

Mask empty_mask(int width, int height) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width * height), 0)};
}

std::string text_of(const Mask& mask) {
  std::string text;
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      text += mask.pixels[static_cast<size_t>(y * mask.width + x)] ? '#' : '.';
    }
    text += '\n';
  }
  return text;
}

// Whether it is filled, or is not.
bool is_binary(const Mask& mask) {
  return std::all_of(mask.pixels.begin(), mask.pixels.end(), [](uint8_t p) { return p <= 1; });
}

TEST_CASE("a segment has a round end, and the width of its brush") {
  Mask line = empty_mask(7, 5);
  draw_segment(line, 1, 2, 4, 2, 1);
  CHECK(text_of(line) == ".......\n.......\n.####..\n.......\n.......\n");
  Mask dot = empty_mask(7, 5);
  draw_segment(dot, 3, 2, 3, 2, 4);
  CHECK(text_of(dot) == "...#...\n..###..\n.#####.\n..###..\n...#...\n");
  Mask thick = empty_mask(7, 5);
  draw_segment(thick, 2, 2, 4, 2, 2);
  CHECK(text_of(thick) == ".......\n..###..\n.#####.\n..###..\n.......\n");
  // What lies outside is cut off.
  Mask corner = empty_mask(3, 3);
  draw_segment(corner, 0, 0, 0, 0, 4);
  CHECK(text_of(corner) == "###\n##.\n#..\n");
}

TEST_CASE("a random mask follows from its numbers, and others give others") {
  Rng first(3, 5), again(3, 5), other(3, 6);
  const Mask mask = random_mask(64, 48, first);
  CHECK(mask == random_mask(64, 48, again));
  CHECK(mask != random_mask(64, 48, other));
  CHECK(mask.width == 64);
  CHECK(mask.height == 48);
  CHECK(mask.pixels.size() == size_t{64} * 48);
}

TEST_CASE("a random mask has something to draw, of any size of a picture") {
  for (const auto& [width, height] :
       {std::pair{1, 1}, std::pair{1, 9}, std::pair{8, 8}, std::pair{300, 20}}) {
    for (uint64_t stream = 0; stream < 40; ++stream) {
      Rng rng(1, stream);
      const Mask mask = random_mask(width, height, rng);
      CHECK(is_binary(mask));
      CHECK(drawn_anew(mask) >= 1);
    }
  }
}

TEST_CASE("half of the masks are rectangles, whose sides are shares of the shorter side") {
  int rectangles = 0;
  double share = 0;
  constexpr int kMasks = 400, kSide = 256;
  for (uint64_t stream = 0; stream < kMasks; ++stream) {
    Rng rng(9, stream), kind(9, stream);
    const Mask mask = random_mask(kSide, kSide, rng);
    share += double(drawn_anew(mask)) / (kSide * kSide) / kMasks;
    if (kind.below(2) != 0) continue;
    ++rectangles;
    const uint64_t count = 1 + kind.below(4);
    CHECK(drawn_anew(mask) >= 30 * 30);
    CHECK(drawn_anew(mask) <= static_cast<int64_t>(count) * 150 * 150);
  }
  // Of 400 even draws: 200, and a deviation of 10.
  CHECK(rectangles > 150);
  CHECK(rectangles < 250);
  // Neither next to nothing nor next to everything.
  CHECK(share > 0.15);
  CHECK(share < 0.6);
}

TEST_CASE("a mask without pixels is our own mistake") {
  Rng rng(0, 0);
  CHECK_THROWS_AS(random_mask(0, 4, rng), Error);
}

}  // namespace
