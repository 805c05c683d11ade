#include "image/soft_edges.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace pangu::image {
namespace {

constexpr double kSigmaPx = 3.0;
constexpr int kRidgeRadius = 12, kWidenRadius = 9;  // 4 and 3 sigmas, OpenCV's for float and byte
constexpr double kRidgeLevel = 127, kWidenLevel = 4;

struct Plane {
  int width, height;
  std::vector<double> values;
  double at(int x, int y) const { return values[static_cast<size_t>(y) * width + x]; }
};

// Outside, the picture continues as its mirror image, without the border twice.
int mirrored(int i, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1), folded = std::abs(i) % period;
  return std::min(folded, period - folded);
}

Plane blurred(const Plane& plane, int radius) {
  std::vector<double> kernel;
  double sum = 0;
  for (int i = -radius; i <= radius; ++i) {
    sum += kernel.emplace_back(std::exp(-i * i / (2 * kSigmaPx * kSigmaPx)));
  }
  for (double& weight : kernel) weight /= sum;
  Plane rows = plane, out = plane;
  std::vector<int> from;
  const auto sources = [&](int size) {
    from.clear();
    for (int i = -radius; i < size + radius; ++i) from.push_back(mirrored(i, size));
  };
  sources(plane.width);
  for (int y = 0; y < plane.height; ++y) {
    for (int x = 0; x < plane.width; ++x) {
      double total = 0;
      for (int k = 0; k <= 2 * radius; ++k) total += kernel[k] * plane.at(from[x + k], y);
      rows.values[static_cast<size_t>(y) * plane.width + x] = total;
    }
  }
  sources(plane.height);
  for (int y = 0; y < plane.height; ++y) {
    double* to = out.values.data() + static_cast<size_t>(y) * plane.width;
    std::fill_n(to, plane.width, 0.0);
    for (int k = 0; k <= 2 * radius; ++k) {
      const double* row = rows.values.data() + static_cast<size_t>(from[y + k]) * plane.width;
      for (int x = 0; x < plane.width; ++x) to[x] += kernel[k] * row[x];
    }
  }
  return out;
}

// No lower than both neighbours along one of the four lines; what lies outside is lower.
bool is_ridge(const Plane& plane, int x, int y) {
  const double value = plane.at(x, y);
  const auto higher = [&](int u, int v) {
    return u >= 0 && v >= 0 && u < plane.width && v < plane.height && plane.at(u, v) > value;
  };
  for (const auto& [dx, dy] : {std::pair{1, 0}, {0, 1}, {1, 1}, {1, -1}}) {
    if (!higher(x + dx, y + dy) && !higher(x - dx, y - dy)) return true;
  }
  return false;
}

}  // namespace

Image safe_levels(const Image& edges) {
  constexpr int kThirds = 3, kLevels = 2, kWhite = 255;
  Image out = edges;
  for (uint8_t& byte : out.pixels) {
    byte = static_cast<uint8_t>(std::min(byte * kThirds / kWhite, kLevels) * kWhite / kLevels);
  }
  return out;
}

Image scribble(const Image& edges) {
  Plane plane{edges.width, edges.height, {}};
  for (size_t i = 0; i < edges.pixels.size(); i += edges.channels) {
    plane.values.push_back(edges.pixels[i]);
  }
  const Plane smooth = blurred(plane, kRidgeRadius);
  for (int y = 0; y < plane.height; ++y) {
    for (int x = 0; x < plane.width; ++x) {
      const bool line = smooth.at(x, y) > kRidgeLevel && is_ridge(smooth, x, y);
      plane.values[static_cast<size_t>(y) * plane.width + x] = line ? 255 : 0;
    }
  }
  const Plane wide = blurred(plane, kWidenRadius);
  Image out = filled(edges.width, edges.height, {0, 0, 0});
  for (size_t i = 0; i < wide.values.size(); ++i) {
    // Of the rounded byte, as OpenCV compares it.
    if (std::round(wide.values[i]) > kWidenLevel) {
      std::fill_n(out.pixels.begin() + static_cast<ptrdiff_t>(3 * i), 3, uint8_t{255});
    }
  }
  return out;
}

}  // namespace pangu::image
