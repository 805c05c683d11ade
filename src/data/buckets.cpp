// Sizes and assignment of aspect buckets. Knows no picture.
#include "data/buckets.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"

namespace pangu::data {
std::vector<Bucket> make_buckets(const BucketOptions& options) {
  const auto [resolution, low, high, step] = options;
  if (resolution < 1 || step < 1 || low < 1 || low > high) {
    throw bad_input("aspect buckets", "positive sizes and min <= max",
                    "resolution " + std::to_string(resolution) + ", min " + std::to_string(low) +
                        ", max " + std::to_string(high) + ", step " + std::to_string(step));
  }
  const int64_t area = int64_t{resolution} * resolution;
  std::set<Bucket> sizes;
  if (const int square = resolution / step * step; square > 0) sizes.insert({square, square});
  for (int width = low; width <= high; width += step) {
    const auto tallest = static_cast<int>(std::min<int64_t>(high, area / width / step * step));
    if (tallest < low) continue;
    sizes.insert({width, tallest});
    sizes.insert({tallest, width});
  }
  if (sizes.empty()) {
    throw bad_input("aspect buckets", "a step that fits into the resolution",
                    std::to_string(step) + " px into " + std::to_string(resolution) + " px");
  }
  return {sizes.begin(), sizes.end()};
}

size_t assign_bucket(const std::vector<Bucket>& buckets, int width, int height) {
  const double aspect = static_cast<double>(width) / height;
  size_t best = 0;
  double best_error = INFINITY;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] == Bucket{width, height}) return i;
    const double error =
        std::abs(static_cast<double>(buckets[i].width) / buckets[i].height - aspect);
    if (error < best_error) {
      best = i;
      best_error = error;
    }
  }
  return best;
}

}  // namespace pangu::data
