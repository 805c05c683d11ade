// Aspect buckets: pictures of many shapes are trained at a few sizes of about equal area, so that a
// batch (data/batch_order.h) has one shape and little is cut off. The sizes are those of kohya's
// sd-scripts.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pangu::data {

struct Bucket {
  int width = 0, height = 0;
  bool operator==(const Bucket&) const = default;
  auto operator<=>(const Bucket&) const = default;
};

struct BucketOptions {
  int resolution_px = 256;  // the area is its square
  int min_side_px = 128;
  int max_side_px = 512;
  int step_px = 64;  // both sides are multiples of it
};

// For every width from min to max in steps: the greatest height, a multiple of the step, with
// width * height <= area; each also lying on its side; and the square. Sorted by width, then
// height. Error kBadInput if the options leave no bucket.
std::vector<Bucket> make_buckets(const BucketOptions& options);

// The bucket of this very size, else the one of the nearest width / height (of equals the first).
// REQUIRES: buckets not empty, width and height >= 1. Returns an index.
size_t assign_bucket(const std::vector<Bucket>& buckets, int width, int height);

}  // namespace pangu::data
