#include "image/sheet.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "image/label.h"

using namespace pangu;
using namespace pangu::image;

namespace {

int dark_pixels(const Image& image, int x0, int y0, int x1, int y1) {
  int count = 0;
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) count += image.at(x, y)[0] < 128;
  }
  return count;
}

}  // namespace

TEST_CASE("a label is as large as it says, and other texts look otherwise") {
  const auto [width, height] = label_size("steps 10");
  Image a = filled(width, height, {}), b = a;
  draw_label(a, "steps 10", 0, 0);
  draw_label(b, "steps 70", 0, 0);
  CHECK(dark_pixels(a, 0, 0, width, height) > 20);
  CHECK(!(a == b));
  CHECK(label_size("steps 10", 2) == std::pair(2 * width, 2 * height));
  // One box for a character of three bytes, and what lies outside is cut off.
  CHECK(label_size("猫").first == label_size("\x01").first);
  draw_label(a, "猫 and more than fits", -3, -3);
  draw_label(a, "x", 1000, 1000);
}

TEST_CASE("a table has its pictures unchanged, under and beside their labels") {
  const std::vector<Image> pictures = {filled(40, 30, {200, 0, 0}), filled(40, 30, {0, 200, 0}),
                                       Image{}, filled(40, 30, {0, 0, 200})};
  const Image page =
      labelled_table(pictures, {"steps 10", "steps 20"}, {"guidance 3", "guidance 5"});
  int red = 0, green = 0, blue = 0;
  for (int y = 0; y < page.height; ++y) {
    for (int x = 0; x < page.width; ++x) {
      const uint8_t* p = page.at(x, y);
      red += p[0] == 200 && p[1] == 0;
      green += p[1] == 200 && p[0] == 0;
      blue += p[2] == 200 && p[0] == 0;
    }
  }
  CHECK(red == 1200);
  CHECK(green == 1200);
  CHECK(blue == 1200);
  CHECK(dark_pixels(page, 0, 0, page.width, 20) > 40);
  CHECK(dark_pixels(page, 0, 20, 60, page.height) > 40);
  CHECK_THROWS_AS(labelled_table(pictures, {"a"}, {"b"}), Error);
}
