#include "image/mask.h"

#include <doctest/doctest.h>

using namespace pangu::image;

namespace {

// Two pixels, the first of this colour and alpha, the second transparent black.
Image beside_nothing(Color color, uint8_t alpha) {
  return {2, 1, 4, {color.r, color.g, color.b, alpha, 0, 0, 0, 0}};
}

}  // namespace

TEST_CASE("an opaque picture is its own mask, with an alpha channel or without") {
  const Image grey = filled(3, 2, {80, 80, 80});
  CHECK(mask_of(grey) == grey);
  CHECK(mask_of(filled(3, 2, {80, 80, 80}, 4)) == grey);
}

TEST_CASE("a hole in a picture is drawn anew") {
  CHECK(mask_of(beside_nothing({200, 30, 30}, 255)) == Image{2, 1, 3, {0, 0, 0, 255, 255, 255}});
  CHECK(mask_of(beside_nothing({200, 30, 30}, 200)) == Image{2, 1, 3, {55, 55, 55, 255, 255, 255}});
  // Black on nothing stays, as black does in an opaque mask.
  CHECK(mask_of(beside_nothing({0, 0, 0}, 255)) == Image{2, 1, 3, {0, 0, 0, 255, 255, 255}});
  CHECK(mask_of(beside_nothing({0, 0, 0}, 0)) == filled(2, 1, {255, 255, 255}));
}

TEST_CASE("white that is painted on nothing is drawn anew") {
  CHECK(mask_of(beside_nothing({255, 255, 255}, 255)) == Image{2, 1, 3, {255, 255, 255, 0, 0, 0}});
  CHECK(mask_of(beside_nothing({255, 255, 255}, 130)) == Image{2, 1, 3, {130, 130, 130, 0, 0, 0}});
}

TEST_CASE("colours and alpha of a picture come apart") {
  const Image image = beside_nothing({9, 8, 7}, 50);
  CHECK(without_alpha(image) == Image{2, 1, 3, {9, 8, 7, 0, 0, 0}});
  CHECK(alpha_of(image) == Image{2, 1, 3, {50, 50, 50, 0, 0, 0}});
  CHECK(without_alpha(filled(2, 2, {1, 2, 3})) == filled(2, 2, {1, 2, 3}));
  CHECK(alpha_of(filled(2, 2, {1, 2, 3})) == filled(2, 2, {255, 255, 255}));
}
