#include "pipeline/controls.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "core/error.h"
#include "image/control_size.h"
#include "image/soft_edges.h"
#include "pipeline/canvas.h"
#include "tensors/pictures.h"

namespace pangu::pipeline {
namespace {

using image::Image;

constexpr int kLeastSoftPx = 64, kMostSoftPx = 2048;
constexpr int kLeastPosePx = 96, kMostPosePx = 1024, kMostPeople = 20;

constexpr int kCocoShoulder = 5, kCocoHip = 11;  // left; right is the next
// MoveNet's authors: a keypoint above this helps to place the square, whose half side is the reach
// of torso and body from the middle of the hips, times these.
constexpr double kPlacingScore = 0.2, kTorsoReach = 1.9, kBodyReach = 1.2;
// A person beside the first has a centre that scores so much.
constexpr double kCenterScore = 0.2;
// Least mean score of the 17 keypoints. Measured: people of photographs and drawings 0.21 to 0.72,
// what the network makes of cats, cups, horses and engines at most 0.18.
constexpr double kPersonScore = 0.2;
// Two people whose common keypoints lie within this share of a square's side are one.
constexpr double kSamePlace = 0.05;

void check_resolution(int found, int least, int most, int multiple) {
  if (found >= least && found <= most && found % multiple == 0) return;
  std::string expected = std::to_string(least) + " to " + std::to_string(most);
  if (multiple > 1) expected += ", a multiple of " + std::to_string(multiple);
  throw bad_input("detect resolution", expected, std::to_string(found));
}

// A square of the picture's plane; parts outside the picture are black.
struct Square {
  double left, top, side;
};

Image cut_out(const Image& picture, const Square& square, int pixels) {
  Image part = image::filled(pixels, pixels, {0, 0, 0});
  const int left = std::clamp(static_cast<int>(std::lround(square.left)), 0, picture.width - 1);
  const int top = std::clamp(static_cast<int>(std::lround(square.top)), 0, picture.height - 1);
  const int right =
      std::clamp(static_cast<int>(std::lround(square.left + square.side)), left + 1, picture.width);
  const int bottom =
      std::clamp(static_cast<int>(std::lround(square.top + square.side)), top + 1, picture.height);
  const double scale = pixels / square.side;
  const auto at = [&](double from, int to) {
    return static_cast<int>(std::lround((to - from) * scale));
  };
  const image::Box box{at(square.left, left), at(square.top, top),
                       std::max(1, at(square.left, right) - at(square.left, left)),
                       std::max(1, at(square.top, bottom) - at(square.top, top))};
  image::paste(part, image::crop(picture, left, top, right - left, bottom - top), box,
               image::Filter::kBilinear);
  return part;
}

using CocoPoints = std::array<image::PosePoint, nn::kCocoKeypoints>;

CocoPoints in_picture(const nn::CocoPose& pose, const Square& square, const Image& picture) {
  CocoPoints points;
  for (size_t k = 0; k < points.size(); ++k) {
    points[k] = {square.left + pose[k].x * square.side, square.top + pose[k].y * square.side,
                 pose[k].score};
    // False for what is no number as well.
    const bool inside = points[k].x >= 0 && points[k].y >= 0 && points[k].x < picture.width &&
                        points[k].y < picture.height;
    if (!inside) points[k].score = 0;
  }
  return points;
}

// The square about a person of whom shoulder and hip were seen.
std::optional<Square> square_about(const CocoPoints& points, const Image& picture) {
  const auto seen = [&](int k) { return points[k].score > kPlacingScore; };
  if (!seen(kCocoShoulder) && !seen(kCocoShoulder + 1)) return std::nullopt;
  if (!seen(kCocoHip) && !seen(kCocoHip + 1)) return std::nullopt;
  const double x = (points[kCocoHip].x + points[kCocoHip + 1].x) / 2;
  const double y = (points[kCocoHip].y + points[kCocoHip + 1].y) / 2;
  double half = 0;
  for (int k = 0; k < nn::kCocoKeypoints; ++k) {
    const double reach = std::max(std::abs(points[k].x - x), std::abs(points[k].y - y));
    const bool torso =
        k == kCocoShoulder || k == kCocoShoulder + 1 || k == kCocoHip || k == kCocoHip + 1;
    if (torso) half = std::max(half, kTorsoReach * reach);
    if (seen(k)) half = std::max(half, kBodyReach * reach);
  }
  half = std::min(half, std::max({x, picture.width - x, y, picture.height - y}));
  if (!(half >= 1) || half > std::max(picture.width, picture.height) / 2.0) return std::nullopt;
  return Square{x - half, y - half, 2 * half};
}

std::vector<nn::FoundPerson> look(const nn::MoveNet& net, const Image& picture,
                                  const Square& square, int pixels, int most) {
  return nn::decode_people(
      net.heads(tensors::pixels_of(cut_out(picture, square, pixels), -1.0, 1.0)), most,
      kCenterScore);
}

double mean_score(const CocoPoints& points) {
  double sum = 0;
  for (const image::PosePoint& point : points) sum += point.score;
  return sum / double(points.size());
}

int found_in(const CocoPoints& points, double threshold) {
  return static_cast<int>(std::count_if(points.begin(), points.end(), [&](const auto& p) {
    return p.score > 0 && p.score >= threshold;
  }));
}

// Whether the keypoints that both have lie together.
bool same_person(const CocoPoints& a, const CocoPoints& b, double threshold, double within) {
  double sum = 0;
  int count = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    if (a[k].score < threshold || b[k].score < threshold) continue;
    sum += std::hypot(a[k].x - b[k].x, a[k].y - b[k].y);
    ++count;
  }
  return count > 0 && sum / count < within;
}

}  // namespace

Image soft_edges(const nn::Hed& hed, const Image& picture, const SoftEdgeOptions& options) {
  check_resolution(options.detect_resolution, kLeastSoftPx, kMostSoftPx, 1);
  const auto [width, height] =
      image::detect_size(picture.width, picture.height, options.detect_resolution);
  const at::Tensor edges =
      hed.edges(tensors::pixels_of(image::resize(picture, width, height), -1.0, 1.0));
  Image map = tensors::picture_of(edges[0].expand({3, -1, -1}) * 2 - 1);
  if (options.safe) map = image::safe_levels(map);
  map = image::resize(map, picture.width, picture.height, image::Filter::kBilinear);
  return options.scribble ? image::scribble(map) : map;
}

std::vector<image::Pose> find_poses(const nn::MoveNet& net, const Image& given,
                                    const PoseOptions& options) {
  check_resolution(options.detect_resolution, kLeastPosePx, kMostPosePx,
                   static_cast<int>(nn::MoveNet::kMultiple));
  if (!(options.threshold >= 0 && options.threshold <= 1)) {
    throw bad_input("threshold", "0 to 1", std::to_string(options.threshold));
  }
  if (options.people < 1 || options.people > kMostPeople) {
    throw bad_input("people", "1 to " + std::to_string(kMostPeople),
                    std::to_string(options.people));
  }
  const Image picture = image::composite_over(given);
  const double side = std::max(picture.width, picture.height);
  const Square whole{(picture.width - side) / 2, (picture.height - side) / 2, side};
  std::vector<CocoPoints> people;
  std::vector<image::Pose> poses;
  for (const auto& person : look(net, picture, whole, options.detect_resolution, options.people)) {
    CocoPoints points = in_picture(person.pose, whole, picture);
    double within = kSamePlace * side;
    if (const auto square = square_about(points, picture)) {
      const auto again = look(net, picture, *square, options.detect_resolution, 1).front();
      const CocoPoints closer = in_picture(again.pose, *square, picture);
      if (mean_score(closer) >= mean_score(points)) {
        points = closer;
        within = kSamePlace * square->side;
      }
    }
    if (mean_score(points) < kPersonScore || found_in(points, options.threshold) == 0) continue;
    const bool known = std::any_of(people.begin(), people.end(), [&](const CocoPoints& other) {
      return same_person(points, other, options.threshold, within);
    });
    if (known) continue;
    people.push_back(points);
    poses.push_back(image::pose_of_coco(points, options.threshold));
  }
  return poses;
}

}  // namespace pangu::pipeline
