#include "data/batch_order.h"

#include <algorithm>
#include <map>
#include <string>

#include "core/error.h"

namespace pangu::data {
namespace {

// Streams of Philox: an epoch has one for the order of its batches and one for each bucket.
constexpr uint64_t kEpochStep = 0x9E3779B97F4A7C15ull;
constexpr uint64_t kOrderOfBatches = 0x626f7264;

}  // namespace

BatchOrder::BatchOrder(const std::vector<uint32_t>& bucket_of, const std::vector<int>& repeats,
                       int64_t batch_size, uint64_t seed)
    : batch_size_(batch_size), seed_(seed) {
  if (batch_size < 1) throw bad_input("batch size", "1 or more", std::to_string(batch_size));
  std::map<uint32_t, Bucket> by_number;
  for (size_t i = 0; i < bucket_of.size(); ++i) {
    std::vector<uint32_t>& shown = by_number[bucket_of[i]].shown;
    shown.insert(shown.end(), static_cast<size_t>(repeats.at(i)), static_cast<uint32_t>(i));
  }
  for (auto& [number, bucket] : by_number) {
    if (bucket.shown.empty()) continue;
    bucket.first_batch = batches_per_epoch_;
    batches_per_epoch_ +=
        std::max<int64_t>(1, static_cast<int64_t>(bucket.shown.size()) / batch_size);
    buckets_.push_back(std::move(bucket));
  }
  if (buckets_.empty()) throw bad_input("training data", "at least one picture", "none");
}

std::vector<int64_t> BatchOrder::at(int64_t batch) const {
  const auto epoch = static_cast<uint64_t>(batch / batches_per_epoch_);
  const uint64_t stream = kOrderOfBatches + epoch * kEpochStep;
  const Permutation order(static_cast<uint64_t>(batches_per_epoch_), seed_, stream);
  const auto slot = static_cast<int64_t>(order(static_cast<uint64_t>(batch % batches_per_epoch_)));
  const auto after =
      std::upper_bound(buckets_.begin(), buckets_.end(), slot,
                       [](int64_t s, const Bucket& bucket) { return s < bucket.first_batch; });
  const Bucket& bucket = *std::prev(after);
  const auto number = static_cast<uint64_t>(after - buckets_.begin());
  const uint64_t count = bucket.shown.size();
  const Permutation inside(count, seed_, stream + number);
  const auto first = static_cast<uint64_t>((slot - bucket.first_batch) * batch_size_);
  std::vector<int64_t> samples;
  for (uint64_t i = 0; i < static_cast<uint64_t>(batch_size_); ++i) {
    samples.push_back(bucket.shown[inside((first + i) % count)]);
  }
  return samples;
}

}  // namespace pangu::data
