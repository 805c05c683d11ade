#include "image/pose.h"

#include <algorithm>
#include <cmath>

namespace pangu::image {
namespace {

constexpr int kNose = 0, kNeck = 1, kRightShoulder = 2, kLeftShoulder = 5;

// Colour of keypoint i, and of limb i.
constexpr std::array<Color, kPosePoints> kColors = {{{255, 0, 0},
                                                     {255, 85, 0},
                                                     {255, 170, 0},
                                                     {255, 255, 0},
                                                     {170, 255, 0},
                                                     {85, 255, 0},
                                                     {0, 255, 0},
                                                     {0, 255, 85},
                                                     {0, 255, 170},
                                                     {0, 255, 255},
                                                     {0, 170, 255},
                                                     {0, 85, 255},
                                                     {0, 0, 255},
                                                     {85, 0, 255},
                                                     {170, 0, 255},
                                                     {255, 0, 255},
                                                     {255, 0, 170},
                                                     {255, 0, 85}}};
constexpr std::array<std::array<int, 2>, 17> kLimbs = {{{1, 2},
                                                        {1, 5},
                                                        {2, 3},
                                                        {3, 4},
                                                        {5, 6},
                                                        {6, 7},
                                                        {1, 8},
                                                        {8, 9},
                                                        {9, 10},
                                                        {1, 11},
                                                        {11, 12},
                                                        {12, 13},
                                                        {kNeck, kNose},
                                                        {0, 14},
                                                        {14, 16},
                                                        {0, 15},
                                                        {15, 17}}};
// COCO's index of each of our points; the neck has none.
constexpr std::array<int, kPosePoints> kFromCoco = {0,  -1, 6,  8,  10, 5, 7, 9, 12,
                                                    14, 16, 11, 13, 15, 2, 1, 4, 3};

constexpr double kHalfWidthPx = 4, kAtSidePx = 512;
// A pixel is painted when its centre is within half a pixel of the shape, as a polygon with its
// outline is.
constexpr double kOutlinePx = 0.5;

// Paints what `inside(x, y)` says in the box of half sides `reach` about (x, y).
template <class Inside>
void paint(Image& image, double x, double y, double reach, Color color, Inside inside) {
  const int left = std::max(0, static_cast<int>(std::floor(x - reach)));
  const int top = std::max(0, static_cast<int>(std::floor(y - reach)));
  const int right = std::min(image.width - 1, static_cast<int>(std::ceil(x + reach)));
  const int bottom = std::min(image.height - 1, static_cast<int>(std::ceil(y + reach)));
  for (int v = top; v <= bottom; ++v) {
    for (int u = left; u <= right; ++u) {
      if (!inside(u - x, v - y)) continue;
      uint8_t* pixel = image.at(u, v);
      pixel[0] = color.r, pixel[1] = color.g, pixel[2] = color.b;
    }
  }
}

Color dimmed(Color color) {
  const auto part = [](int value) { return static_cast<uint8_t>(value * 3 / 5); };
  return {part(color.r), part(color.g), part(color.b)};
}

void draw_limb(Image& image, const PosePoint& a, const PosePoint& b, double half_width,
               Color color) {
  const double length = std::hypot(b.x - a.x, b.y - a.y);
  const double cosine = length > 0 ? (b.x - a.x) / length : 1;
  const double sine = length > 0 ? (b.y - a.y) / length : 0;
  const double along = length / 2 + kOutlinePx, across = half_width + kOutlinePx;
  paint(image, (a.x + b.x) / 2, (a.y + b.y) / 2, std::max(along, across), color,
        [&](double dx, double dy) {
          const double u = (dx * cosine + dy * sine) / along;
          const double v = (dy * cosine - dx * sine) / across;
          return u * u + v * v <= 1;
        });
}

}  // namespace

Pose pose_of_coco(const std::array<PosePoint, 17>& coco, double threshold) {
  Pose pose;
  for (size_t i = 0; i < pose.size(); ++i) {
    if (kFromCoco[i] < 0) continue;
    const PosePoint& point = coco[static_cast<size_t>(kFromCoco[i])];
    if (point.score > 0 && point.score >= threshold) pose[i] = point;
  }
  const PosePoint &right = pose[kRightShoulder], &left = pose[kLeftShoulder];
  if (right.score > 0 && left.score > 0) {
    pose[kNeck] = {(right.x + left.x) / 2, (right.y + left.y) / 2,
                   std::min(right.score, left.score)};
  }
  return pose;
}

Image draw_poses(const std::vector<Pose>& poses, int width, int height) {
  Image image = filled(width, height, {0, 0, 0});
  const double half_width = std::max(1.0, kHalfWidthPx * std::min(width, height) / kAtSidePx);
  // False for what is no number as well.
  const auto there = [&](const PosePoint& p) {
    return p.score > 0 && p.x >= 0 && p.y >= 0 && p.x < width && p.y < height;
  };
  for (const Pose& pose : poses) {
    for (size_t i = 0; i < kLimbs.size(); ++i) {
      const PosePoint &a = pose[kLimbs[i][0]], &b = pose[kLimbs[i][1]];
      if (there(a) && there(b)) draw_limb(image, a, b, half_width, dimmed(kColors[i]));
    }
  }
  for (const Pose& pose : poses) {
    for (size_t i = 0; i < pose.size(); ++i) {
      if (!there(pose[i])) continue;
      const double radius = half_width + kOutlinePx;
      paint(image, pose[i].x, pose[i].y, radius, kColors[i],
            [&](double dx, double dy) { return dx * dx + dy * dy <= radius * radius; });
    }
  }
  return image;
}

}  // namespace pangu::image
