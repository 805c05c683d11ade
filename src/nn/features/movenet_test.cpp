// Tests MoveNet's decoding on maps made by hand, and its refusals. tests/parity/movenet_test.cpp
// compares its numbers.
#include "nn/features/movenet.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/testing.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

constexpr int64_t kGrid = 48;
constexpr float kSure = 8.0F;  // as a logit

PoseHeads nobody() {
  return {at::full({1, 1, kGrid, kGrid}, -9.0), at::full({1, 17, kGrid, kGrid}, -9.0),
          at::zeros({1, 34, kGrid, kGrid}), at::zeros({1, 34, kGrid, kGrid})};
}

// A person with its centre at (y, x) and keypoint k at (y - 8 + k, x + 2).
void put_person(PoseHeads& heads, int64_t y, int64_t x) {
  heads.center[0][0][y][x] = kSure;
  for (int64_t k = 0; k < kCocoKeypoints; ++k) {
    heads.regression[0][2 * k][y][x] = float(k - 8);
    heads.regression[0][2 * k + 1][y][x] = 2.0F;
    heads.heatmap[0][k][y - 8 + k][x + 2] = kSure;
    heads.offset[0][2 * k][y - 8 + k][x + 2] = 0.25F;
    heads.offset[0][2 * k + 1][y - 8 + k][x + 2] = 0.5F;
  }
}

TEST_CASE("a keypoint is the strongest place about where its centre expects it, plus its offset") {
  PoseHeads heads = nobody();
  put_person(heads, 20, 30);
  const auto people = decode_people(heads, 5, 0.5);
  REQUIRE(people.size() == 1);
  CHECK(people[0].score > 0.99);
  for (int k = 0; k < kCocoKeypoints; ++k) {
    CHECK(people[0].pose[k].y == doctest::Approx((20 - 8 + k + 0.25) / kGrid));
    CHECK(people[0].pose[k].x == doctest::Approx((30 + 2 + 0.5) / kGrid));
    CHECK(people[0].pose[k].score > 0.99);
  }
}

TEST_CASE("of several people the one in the middle comes first, and each keeps its own keypoints") {
  PoseHeads heads = nobody();
  put_person(heads, 20, 8);
  put_person(heads, 25, 26);
  put_person(heads, 12, 40);
  const auto people = decode_people(heads, 5, 0.5);
  REQUIRE(people.size() == 3);
  CHECK(people[0].pose[0].x == doctest::Approx((26 + 2.5) / kGrid));
  CHECK(people[1].pose[0].x == doctest::Approx((8 + 2.5) / kGrid));
  CHECK(people[2].pose[0].x == doctest::Approx((40 + 2.5) / kGrid));
  CHECK(decode_people(heads, 2, 0.5).size() == 2);
}

TEST_CASE("where nobody is, the best guess comes alone with a low score") {
  const auto people = decode_people(nobody(), 5, 0.5);
  REQUIRE(people.size() == 1);
  CHECK(people[0].score < 0.01);
  CHECK(people[0].pose[0].score < 0.01);
}

TEST_CASE("missing or misshapen weights are named, other inputs refused") {
  CHECK(contains(refusal_of([] { MoveNet{TensorMap{}}; }), "backbone.stem.weight"));
  TensorMap map =
      tensors::load_safetensors(std::string(kSourceDir) + "/models/movenet/model.safetensors");
  const MoveNet net(map);
  CHECK_THROWS_AS(net.heads(at::zeros({1, 3, 100, 96})), Error);
  CHECK_THROWS_AS(net.heads(at::zeros({1, 1, 96, 96})), Error);
  CHECK_THROWS_AS(net.heads(at::zeros({3, 96, 96})), Error);
  const PoseHeads heads = net.heads(at::zeros({1, 3, 64, 96}));
  CHECK(heads.heatmap.sizes() == at::IntArrayRef({1, 17, 16, 24}));
  CHECK(heads.offset.sizes() == at::IntArrayRef({1, 34, 16, 24}));
  map["pyramid.merge_8.pointwise.weight"] = at::zeros({24, 64, 1, 1});
  CHECK(contains(refusal_of([&] { MoveNet{map}; }), "pyramid.merge_8.pointwise.weight"));
}

}  // namespace
}  // namespace pangu::nn
