#include "image/random_mask.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace pangu::image {
namespace {

// The published sizes are pixels of pictures whose sides are this.
constexpr int64_t kPublishedSide = 256;
constexpr uint64_t kMostRectangles = 4, kMostStrokes = 5, kMostSegments = 5;

// Of what may be drawn, in pixels of the published side.
struct SizeRange {
  int64_t least = 0, most = 0;
};
constexpr SizeRange kRectangleSide{30, 150}, kSegmentLength{10, 209}, kBrush{5, 104};

int size_in(const SizeRange& range, int shorter_side, Rng& rng_) {
  const int64_t least = std::max<int64_t>(1, shorter_side * range.least / kPublishedSide);
  const int64_t most = std::max(least, shorter_side * range.most / kPublishedSide);
  return static_cast<int>(least + static_cast<int64_t>(rng_.below(uint64_t(most - least + 1))));
}

int below(int bound, Rng& rng_) {
  return static_cast<int>(rng_.below(static_cast<uint64_t>(bound)));
}

void add_rectangles(Mask& mask_, Rng& rng_) {
  const int shorter = std::min(mask_.width, mask_.height);
  const uint64_t count = 1 + rng_.below(kMostRectangles);
  for (uint64_t i = 0; i < count; ++i) {
    const int width = size_in(kRectangleSide, shorter, rng_);
    const int height = size_in(kRectangleSide, shorter, rng_);
    const int x = below(mask_.width - width + 1, rng_);
    const int y = below(mask_.height - height + 1, rng_);
    for (int row = y; row < y + height; ++row) {
      std::fill_n(mask_.pixels.begin() + int64_t{row} * mask_.width + x, width, uint8_t{1});
    }
  }
}

void add_strokes(Mask& mask_, Rng& rng_) {
  const int shorter = std::min(mask_.width, mask_.height);
  const uint64_t count = 1 + rng_.below(kMostStrokes);
  for (uint64_t i = 0; i < count; ++i) {
    int x = below(mask_.width, rng_), y = below(mask_.height, rng_);
    const uint64_t segments = 1 + rng_.below(kMostSegments);
    for (uint64_t s = 0; s < segments; ++s) {
      const double angle = 2 * std::numbers::pi * rng_.uniform();
      const int length = size_in(kSegmentLength, shorter, rng_);
      const int brush = size_in(kBrush, shorter, rng_);
      const auto moved = [&](int from, double by, int side) {
        return std::clamp(static_cast<int>(std::floor(from + by + 0.5)), 0, side - 1);
      };
      const int to_x = moved(x, length * std::cos(angle), mask_.width);
      const int to_y = moved(y, length * std::sin(angle), mask_.height);
      draw_segment(mask_, x, y, to_x, to_y, brush);
      x = to_x;
      y = to_y;
    }
  }
}

}  // namespace

// In whole numbers, so that no rounding decides about a pixel.
void draw_segment(Mask& mask_, int from_x, int from_y, int to_x, int to_y, int brush_px) {
  const int64_t dx = to_x - from_x, dy = to_y - from_y, length2 = dx * dx + dy * dy;
  const int64_t brush2 = int64_t{brush_px} * brush_px;
  const int reach = brush_px / 2;
  const int first_y = std::max(0, std::min(from_y, to_y) - reach);
  const int last_y = std::min(mask_.height - 1, std::max(from_y, to_y) + reach);
  const int first_x = std::max(0, std::min(from_x, to_x) - reach);
  const int last_x = std::min(mask_.width - 1, std::max(from_x, to_x) + reach);
  for (int y = first_y; y <= last_y; ++y) {
    for (int x = first_x; x <= last_x; ++x) {
      const int64_t px = x - from_x, py = y - from_y, along = px * dx + py * dy;
      bool is_near = false;
      if (along <= 0) {
        is_near = 4 * (px * px + py * py) <= brush2;
      } else if (along >= length2) {
        const int64_t qx = x - to_x, qy = y - to_y;
        is_near = 4 * (qx * qx + qy * qy) <= brush2;
      } else {
        const int64_t across = px * dy - py * dx;
        is_near = 4 * across * across <= brush2 * length2;
      }
      if (is_near) mask_.pixels[static_cast<size_t>(int64_t{y} * mask_.width + x)] = 1;
    }
  }
}

Mask random_mask(int width, int height, Rng& rng_) {
  if (width < 1 || height < 1) {
    throw Error(ErrorCode::kInternal,
                "a mask of " + std::to_string(width) + " x " + std::to_string(height) + " pixels");
  }
  Mask mask{width, height, std::vector<uint8_t>(static_cast<size_t>(int64_t{width} * height), 0)};
  if (rng_.below(2) == 0) {
    add_rectangles(mask, rng_);
  } else {
    add_strokes(mask, rng_);
  }
  return mask;
}

}  // namespace pangu::image
