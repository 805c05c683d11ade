// Control images with the embedded weights: a person of a photograph is found in place wherever the
// picture has been put, strange pictures end well, options out of range are refused.
#include "pipeline/controls.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>

#include "core/testing.h"
#include "image/resize.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

using image::Image;

const std::string kSource = kSourceDir;

nn::MoveNet movenet() {
  return nn::MoveNet(tensors::load_safetensors(kSource + "/models/movenet/model.safetensors"));
}

// An astronaut from the hips up, 192 x 192 (the middle of a photograph by NASA).
Image astronaut() {
  const at::Tensor pixels =
      tensors::load_safetensors(kSource + "/tests/parity/data/movenet_reference.safetensors")
          .at("picture");
  const auto* first = pixels.const_data_ptr<uint8_t>();
  return {static_cast<int>(pixels.size(1)), static_cast<int>(pixels.size(0)), 3,
          std::vector<uint8_t>(first, first + pixels.numel())};
}

TEST_CASE(
    "the astronaut's face and shoulders are where they are, in any part of a larger picture") {
  const nn::MoveNet net = movenet();
  const auto alone = find_poses(net, astronaut());
  REQUIRE(alone.size() == 1);
  const image::Pose& pose = alone[0];
  for (const int point : {0, 1, 2, 5, 14, 15}) CHECK(pose[point].score > 0.3);
  CHECK(std::abs(pose[0].x - 83) < 4);  // nose
  CHECK(std::abs(pose[0].y - 46) < 4);
  CHECK(pose[2].x < pose[1].x);  // her right shoulder is to our left
  CHECK(pose[5].x > pose[1].x);

  Image wide = image::filled(400, 240, {128, 128, 128});
  image::paste(wide, astronaut(), {180, 40, 192, 192});
  const auto moved = find_poses(net, wide);
  REQUIRE(!moved.empty());
  for (const int point : {0, 14, 15}) {
    CHECK(std::abs(moved[0][point].x - 180 - pose[point].x) < 8);
    CHECK(std::abs(moved[0][point].y - 40 - pose[point].y) < 8);
  }
}

TEST_CASE("two people are two, unless one is asked for") {
  Image both = image::filled(400, 192, {128, 128, 128});
  image::paste(both, astronaut(), {0, 0, 192, 192});
  image::paste(both, image::flip_horizontal(astronaut()), {208, 0, 192, 192});
  const auto found = find_poses(movenet(), both);
  REQUIRE(found.size() == 2);
  CHECK(std::abs(found[0][0].x - found[1][0].x) > 150);
  CHECK(find_poses(movenet(), both, {.people = 1}).size() == 1);
}

TEST_CASE("where nobody is, nobody is found, also in pictures of a pixel or a line") {
  const nn::MoveNet net = movenet();
  for (const auto& [width, height] : {std::pair{1, 1}, {2, 2}, {3000, 1}, {1, 900}, {64, 48}}) {
    CHECK(find_poses(net, image::filled(width, height, {200, 30, 30})).empty());
    CHECK(find_poses(net, image::filled(width, height, {}, 4)).empty());
  }
}

TEST_CASE("options out of range are refused by name") {
  const nn::MoveNet net = movenet();
  const Image image = image::filled(8, 8, {});
  const auto refused = [&](const PoseOptions& options) {
    return refusal_of([&] { find_poses(net, image, options); });
  };
  CHECK(contains(refused({.detect_resolution = 200}), "detect resolution"));
  CHECK(contains(refused({.detect_resolution = 0}), "detect resolution"));
  CHECK(contains(refused({.threshold = 1.5}), "threshold"));
  CHECK(contains(refused({.threshold = std::nan("")}), "threshold"));
  CHECK(contains(refused({.people = 0}), "people"));
}

TEST_CASE("soft edges follow a disc at the picture's own size, and strange pictures end well") {
  const nn::Hed hed(tensors::load_safetensors(kSource + "/models/hed/model.safetensors"));
  Image disc = image::filled(120, 80, {40, 60, 160});
  for (int y = 0; y < 80; ++y) {
    for (int x = 0; x < 120; ++x) {
      if (std::hypot(x - 60, y - 40) < 25) std::fill_n(disc.at(x, y), 3, uint8_t{220});
    }
  }
  const Image edges = soft_edges(hed, disc, {.detect_resolution = 96});
  CHECK(edges.width == 120);
  CHECK(edges.height == 80);
  CHECK(edges.at(85, 40)[0] > 150);
  CHECK(edges.at(60, 15)[1] > 150);
  CHECK(edges.at(60, 40)[0] < 60);
  CHECK(edges.at(15, 40)[2] < 60);
  const Image lines = soft_edges(hed, disc, {.detect_resolution = 96, .scribble = true});
  for (const uint8_t byte : lines.pixels) CHECK((byte == 0 || byte == 255));
  for (const auto& [width, height] : {std::pair{1, 1}, {2, 2}, {2000, 1}, {1, 500}}) {
    const Image found =
        soft_edges(hed, image::filled(width, height, {9, 9, 9}), {.detect_resolution = 64});
    CHECK(found.width == width);
    CHECK(found.height == height);
  }
  CHECK(contains(refusal_of([&] { soft_edges(hed, disc, {.detect_resolution = 63}); }),
                 "detect resolution"));
}

}  // namespace
}  // namespace pangu::pipeline
