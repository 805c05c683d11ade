#include "image/control_size.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "core/error.h"

using namespace pangu;
using namespace pangu::image;

TEST_CASE("a cut keeps the centre and the proportions") {
  Image image = filled(40, 20, {10, 20, 30});
  for (int y = 0; y < 20; ++y) {
    for (int x = 10; x < 30; ++x) image.at(x, y)[0] = 200;  // the square in the middle
  }
  const Image cut = cut_to(image, 10, 10);
  CHECK(cut == filled(10, 10, {200, 20, 30}));
  CHECK(cut_to(image, 40, 20) == image);
  CHECK(cut_to(image, 20, 10) == resize(image, 20, 10));
}

TEST_CASE("any picture can be cut to any size") {
  CHECK(rc::check([] {
    const auto side = [](int most) { return *rc::gen::inRange(1, most); };
    const Image cut = cut_to(filled(side(40), side(40), {7, 8, 9}), side(40), side(40));
    RC_ASSERT(cut == filled(cut.width, cut.height, {7, 8, 9}));
  }));
  CHECK(cut_to(filled(16384, 1, {1, 2, 3}), 64, 64) == filled(64, 64, {1, 2, 3}));
  CHECK(cut_to(filled(1, 16384, {1, 2, 3}), 64, 64) == filled(64, 64, {1, 2, 3}));
  CHECK_THROWS_AS(cut_to(Image{}, 4, 4), Error);
  CHECK_THROWS_AS(cut_to(filled(2, 2, {}), 0, 4), Error);
}

TEST_CASE("a detector sees the shorter side at its resolution, and no endless strip") {
  CHECK(detect_size(512, 512, 512) == std::pair(512, 512));
  CHECK(detect_size(300, 200, 512) == std::pair(768, 512));
  CHECK(detect_size(200, 300, 512) == std::pair(512, 768));
  CHECK(detect_size(1, 1, 64) == std::pair(64, 64));
  CHECK(detect_size(16384, 1, 512) == std::pair(2048, 512));
  CHECK(detect_size(1, 16384, 512) == std::pair(512, 2048));
}
