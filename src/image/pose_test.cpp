#include "image/pose.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <limits>

using namespace pangu::image;

namespace {

Color color_at(const Image& image, int x, int y) {
  const uint8_t* p = image.at(x, y);
  return {p[0], p[1], p[2]};
}

int painted(const Image& image) {
  int count = 0;
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    count += image.pixels[i] || image.pixels[i + 1] || image.pixels[i + 2];
  }
  return count;
}

}  // namespace

TEST_CASE("COCO's keypoints come to OpenPose's places, with a neck between the shoulders") {
  std::array<PosePoint, 17> coco;
  for (int i = 0; i < 17; ++i) coco[i] = {double(i), 100.0 + i, 0.5 + i / 100.0};
  const Pose pose = pose_of_coco(coco, 0.3);
  CHECK(pose[0] == coco[0]);                      // nose
  CHECK(pose[1] == PosePoint{5.5, 105.5, 0.55});  // neck
  CHECK(pose[2] == coco[6]);                      // right shoulder
  CHECK(pose[4] == coco[10]);                     // right wrist
  CHECK(pose[7] == coco[9]);                      // left wrist
  CHECK(pose[8] == coco[12]);                     // right hip
  CHECK(pose[13] == coco[15]);                    // left ankle
  CHECK(pose[14] == coco[2]);                     // right eye
  CHECK(pose[17] == coco[3]);                     // left ear
  std::vector<double> places;
  for (size_t i = 0; i < pose.size(); ++i) {
    if (i != 1) places.push_back(pose[i].x);
  }
  std::sort(places.begin(), places.end());
  for (int i = 0; i < 17; ++i) CHECK(places[i] == i);  // each exactly once
}

TEST_CASE("below the threshold nothing is found, and half a pair of shoulders has no neck") {
  std::array<PosePoint, 17> coco;
  for (auto& point : coco) point = {1, 1, 0.25};
  coco[5].score = 0.9;
  const Pose pose = pose_of_coco(coco, 0.3);
  for (int i = 0; i < kPosePoints; ++i) CHECK(pose[i].score == (i == 5 ? 0.9 : 0.0));
  const Pose all = pose_of_coco({}, 0.0);  // a score of 0 is never found
  CHECK(std::all_of(all.begin(), all.end(), [](const auto& p) { return p.score == 0; }));
}

TEST_CASE("keypoints are discs of full colour over limbs of 60 percent of theirs") {
  Pose pose;
  pose[2] = {100, 256, 1};  // right shoulder
  pose[3] = {400, 256, 1};  // right elbow: the limb between is the third, orange
  const Image image = draw_poses({pose}, 512, 512);
  CHECK(color_at(image, 100, 256) == Color{255, 170, 0});
  CHECK(color_at(image, 400, 256) == Color{255, 255, 0});
  CHECK(color_at(image, 250, 256) == Color{153, 102, 0});
  CHECK(color_at(image, 250, 252) == Color{153, 102, 0});
  CHECK(color_at(image, 250, 251) == Color{0, 0, 0});
  CHECK(color_at(image, 100, 260) == Color{255, 170, 0});
  CHECK(color_at(image, 100, 261) == Color{0, 0, 0});
  CHECK(color_at(image, 410, 256) == Color{0, 0, 0});
}

TEST_CASE("lines are in proportion to the shorter side") {
  Pose pose;
  pose[2] = {200, 512, 1};
  pose[3] = {800, 512, 1};
  const Image image = draw_poses({pose}, 1024, 1100);
  CHECK(color_at(image, 500, 504) == Color{153, 102, 0});
  CHECK(color_at(image, 500, 503) == Color{0, 0, 0});
}

TEST_CASE("points outside the picture are left out, and so are their limbs") {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const double endless = std::numeric_limits<double>::infinity();
  for (const double x : {-1.0, 64.0, 1e12, endless, none}) {
    Pose pose;
    pose[2] = {x, 10, 1};
    pose[3] = {20, 10, 1};
    Pose alone;
    alone[3] = pose[3];
    CHECK(draw_poses({pose}, 64, 64) == draw_poses({alone}, 64, 64));
  }
  CHECK(painted(draw_poses({}, 5, 7)) == 0);
  CHECK(painted(draw_poses({Pose{}}, 1, 1)) == 0);
}

TEST_CASE("any points on any canvas can be drawn") {
  CHECK(rc::check([] {
    const int width = *rc::gen::inRange(1, 90), height = *rc::gen::inRange(1, 90);
    Pose pose;
    for (auto& point : pose) {
      point = {double(*rc::gen::inRange(-9, 100)), double(*rc::gen::inRange(-9, 100)), 1.0};
    }
    const Image image = draw_poses({pose, pose}, width, height);
    RC_ASSERT(image.width == width && image.height == height && image.channels == 3);
    RC_ASSERT(image == draw_poses({pose}, width, height));
  }));
}
