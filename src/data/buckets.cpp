// Sizes and assignment of aspect buckets, and batches out of them. Knows no picture.
#include "data/buckets.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/rng.h"

namespace pangu::data {
namespace {

// Fisher and Yates.
template <class T>
void shuffle(std::vector<T>& values_, Rng& rng_) {
  for (size_t i = values_.size(); i > 1; --i) std::swap(values_[i - 1], values_[rng_.below(i)]);
}

}  // namespace

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

std::vector<std::vector<int64_t>> bucket_batches(const std::vector<size_t>& bucket_of,
                                                 int batch_size, uint64_t seed, uint64_t epoch,
                                                 bool drop_last) {
  if (batch_size < 1) throw bad_input("batch size", "1 or more", std::to_string(batch_size));
  Rng rng(seed, epoch);
  std::map<size_t, std::vector<int64_t>> members;
  for (size_t i = 0; i < bucket_of.size(); ++i) {
    members[bucket_of[i]].push_back(static_cast<int64_t>(i));
  }
  std::vector<std::vector<int64_t>> batches;
  for (auto& [bucket, indices] : members) {
    shuffle(indices, rng);
    for (size_t at = 0; at < indices.size(); at += static_cast<size_t>(batch_size)) {
      const size_t end = std::min(indices.size(), at + static_cast<size_t>(batch_size));
      if (drop_last && end - at < static_cast<size_t>(batch_size)) break;
      batches.emplace_back(indices.begin() + static_cast<int64_t>(at),
                           indices.begin() + static_cast<int64_t>(end));
    }
  }
  shuffle(batches, rng);
  return batches;
}

}  // namespace pangu::data
