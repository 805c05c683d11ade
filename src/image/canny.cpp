// One pass over the rows with three rows of magnitudes, then a walk from the strong pixels.
#include "image/canny.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/message.h"
#include "image/resize.h"

namespace pangu::image {
namespace {

constexpr uint8_t kNothing = 0, kWeak = 1, kEdge = 255;

// The gradients of one row. Magnitudes have a zero on either side: magnitude[x + 1] is of pixel x.
struct GradientRow {
  std::vector<int> dx, dy;
  std::vector<int64_t> magnitude;
};

// Row y of `picture` (RGB), or zeros when y is outside.
GradientRow gradient_row(const Image& picture, int y, bool l2) {
  const int width = picture.width;
  GradientRow row{std::vector<int>(width), std::vector<int>(width),
                  std::vector<int64_t>(static_cast<size_t>(width) + 2)};
  if (y < 0 || y >= picture.height) return row;
  const int above = std::max(y - 1, 0), below = std::min(y + 1, picture.height - 1);
  for (int x = 0; x < width; ++x) {
    const int left = std::max(x - 1, 0), right = std::min(x + 1, width - 1);
    const uint8_t *nw = picture.at(left, above), *n = picture.at(x, above),
                  *ne = picture.at(right, above), *w = picture.at(left, y),
                  *e = picture.at(right, y), *sw = picture.at(left, below),
                  *s = picture.at(x, below), *se = picture.at(right, below);
    int64_t greatest = -1;
    for (int c = 0; c < 3; ++c) {
      const int dx = ne[c] + 2 * e[c] + se[c] - nw[c] - 2 * w[c] - sw[c];
      const int dy = sw[c] + 2 * s[c] + se[c] - nw[c] - 2 * n[c] - ne[c];
      const int64_t magnitude =
          l2 ? int64_t{dx} * dx + int64_t{dy} * dy : std::abs(dx) + std::abs(dy);
      if (magnitude <= greatest) continue;
      greatest = magnitude;
      row.dx[x] = dx;
      row.dy[x] = dy;
      row.magnitude[x + 1] = magnitude;
    }
  }
  return row;
}

// Whether pixel x of `here` is greatest across its edge. The direction is one of four; tan(22.5
// degrees) is taken as 13573 / 2^15. Of two equal neighbours the one to the right or below yields,
// on a diagonal both do.
bool is_ridge(const GradientRow& before, const GradientRow& here, const GradientRow& after, int x) {
  constexpr int64_t kTan22 = 13573;
  constexpr int kShift = 15;
  const int64_t wide = std::abs(here.dx[x]), high = int64_t{std::abs(here.dy[x])} << kShift;
  const int64_t m = here.magnitude[x + 1];
  const int64_t flat = wide * kTan22;
  if (high < flat) return m > here.magnitude[x] && m >= here.magnitude[x + 2];
  const int64_t steep = flat + (wide << (kShift + 1));  // tan(67.5) = tan(22.5) + 2
  if (high > steep) return m > before.magnitude[x + 1] && m >= after.magnitude[x + 1];
  const int side = (here.dx[x] < 0) != (here.dy[x] < 0) ? -1 : 1;
  return m > before.magnitude[x + 1 - side] && m > after.magnitude[x + 1 + side];
}

// Weak pixels that touch an edge become edges, and so on.
void grow(std::vector<uint8_t>& map, int width, int height, std::vector<size_t> edges) {
  while (!edges.empty()) {
    const int x = static_cast<int>(edges.back() % width),
              y = static_cast<int>(edges.back() / width);
    edges.pop_back();
    for (int v = std::max(y - 1, 0); v <= std::min(y + 1, height - 1); ++v) {
      for (int u = std::max(x - 1, 0); u <= std::min(x + 1, width - 1); ++u) {
        const size_t at = static_cast<size_t>(v) * width + u;
        if (map[at] != kWeak) continue;
        map[at] = kEdge;
        edges.push_back(at);
      }
    }
  }
}

void check(const CannyOptions& options) {
  for (const auto& [name, value] : {std::pair{"low threshold", options.low_threshold},
                                    std::pair{"high threshold", options.high_threshold}}) {
    if (!std::isfinite(value) || value < 0) {
      throw bad_input(name, "a number from 0 on", number_text(value));
    }
  }
  if (options.low_threshold > options.high_threshold) {
    throw bad_input("low threshold",
                    "at most the high threshold of " + number_text(options.high_threshold),
                    number_text(options.low_threshold));
  }
}

// Magnitudes are whole numbers: above t is above its floor. With l2 they are squares.
int64_t threshold_of(double value, bool l2) {
  constexpr double kAboveAll = 32767;  // no gradient of bytes reaches it, and its square fits
  const double t = std::min(value, kAboveAll);
  return static_cast<int64_t>(std::floor(l2 ? t * t : t));
}

}  // namespace

Image canny(const Image& picture, const CannyOptions& options) {
  check(options);
  if (picture.empty()) throw Error(ErrorCode::kInternal, "edges of an empty picture");
  const Image rgb = composite_over(picture);
  const int width = rgb.width, height = rgb.height;
  const bool l2 = options.l2_gradient;
  const int64_t low = threshold_of(options.low_threshold, l2);
  const int64_t high = threshold_of(options.high_threshold, l2);

  std::vector<uint8_t> map(static_cast<size_t>(width) * height, kNothing);
  std::vector<size_t> edges;
  GradientRow before = gradient_row(rgb, -1, l2), here = gradient_row(rgb, 0, l2);
  for (int y = 0; y < height; ++y) {
    GradientRow after = gradient_row(rgb, y + 1, l2);
    for (int x = 0; x < width; ++x) {
      const int64_t m = here.magnitude[x + 1];
      if (m <= low || !is_ridge(before, here, after, x)) continue;
      const size_t at = static_cast<size_t>(y) * width + x;
      map[at] = m > high ? kEdge : kWeak;
      if (m > high) edges.push_back(at);
    }
    before = std::move(here);
    here = std::move(after);
  }
  grow(map, width, height, std::move(edges));

  Image out = filled(width, height, {0, 0, 0});
  for (size_t i = 0; i < map.size(); ++i) {
    if (map[i] == kEdge) std::fill_n(out.pixels.begin() + static_cast<ptrdiff_t>(3 * i), 3, kEdge);
  }
  return out;
}

}  // namespace pangu::image
