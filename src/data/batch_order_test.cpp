#include "data/batch_order.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <numeric>

#include "core/testing.h"

using namespace pangu;
using pangu::data::BatchOrder;

namespace {

std::vector<int> once_each(size_t count) { return std::vector<int>(count, 1); }

}  // namespace

TEST_CASE("batches share a bucket, and an epoch shows no sample more often than it repeats") {
  CHECK(rc::check([](uint64_t seed) {
    const size_t count = *rc::gen::inRange<size_t>(1, 200);
    const auto buckets =
        *rc::gen::container<std::vector<uint32_t>>(count, rc::gen::inRange<uint32_t>(0, 5));
    const auto repeats = *rc::gen::container<std::vector<int>>(count, rc::gen::inRange(1, 4));
    const auto batch_size = *rc::gen::inRange<int64_t>(1, 9);
    const BatchOrder order(buckets, repeats, batch_size, seed);
    const int64_t epoch = *rc::gen::inRange<int64_t>(0, 1000);
    std::vector<int64_t> shown_in(5), most_of(5);  // of every bucket
    for (size_t i = 0; i < count; ++i) most_of[buckets[i]] += repeats[i];
    std::vector<int> shown(count);
    for (int64_t b = 0; b < order.batches_per_epoch(); ++b) {
      const auto batch = order.at(epoch * order.batches_per_epoch() + b);
      RC_ASSERT(static_cast<int64_t>(batch.size()) == batch_size);
      for (const int64_t i : batch) {
        const auto sample = static_cast<size_t>(i);
        RC_ASSERT(buckets[sample] == buckets[static_cast<size_t>(batch[0])]);
        ++shown[sample];
        ++shown_in[buckets[sample]];
      }
    }
    for (size_t i = 0; i < count; ++i) {
      const int64_t most = most_of[buckets[i]];
      if (most >= batch_size) RC_ASSERT(shown[i] <= repeats[i]);
    }
    for (size_t b = 0; b < 5; ++b) {
      const int64_t full = most_of[b] / batch_size * batch_size;
      RC_ASSERT(shown_in[b] == (most_of[b] > 0 ? std::max(full, batch_size) : 0));
    }
  }));
}

TEST_CASE("one, two and four readers see the same batches, from any number on") {
  const BatchOrder order(std::vector<uint32_t>(100, 0), once_each(100), 8, 5);
  std::vector<std::vector<int64_t>> whole;
  for (int64_t b = 0; b < 40; ++b) whole.push_back(order.at(b));
  for (const int64_t readers : {1, 2, 4}) {
    // Another object, as in another process, begun in the middle.
    const BatchOrder again(std::vector<uint32_t>(100, 0), once_each(100), 8, 5);
    for (int64_t b = 17; b < 40; ++b) {
      std::vector<int64_t> joined;
      for (int64_t r = 0; r < readers; ++r) {
        const auto batch = again.at(b);
        joined.insert(joined.end(), batch.begin() + 8 * r / readers,
                      batch.begin() + 8 * (r + 1) / readers);
      }
      CHECK(joined == whole[static_cast<size_t>(b)]);
    }
  }
}

TEST_CASE("epochs differ, seeds differ, and all samples have their turn") {
  const BatchOrder order(std::vector<uint32_t>(50, 0), once_each(50), 4, 1);
  CHECK(order.batches_per_epoch() == 12);  // two samples sit out, not always the same
  CHECK(order.at(0) != order.at(12));
  CHECK(order.at(0) != BatchOrder(std::vector<uint32_t>(50, 0), once_each(50), 4, 2).at(0));
  std::vector<int> shown(50);
  for (int64_t b = 0; b < 12 * 20; ++b) {
    for (const int64_t i : order.at(b)) ++shown[static_cast<size_t>(i)];
  }
  CHECK(*std::min_element(shown.begin(), shown.end()) >= 14);
  CHECK(std::accumulate(shown.begin(), shown.end(), 0) == 12 * 20 * 4);
}

TEST_CASE("no samples and no batch are refused") {
  CHECK(contains(refusal_of([] { BatchOrder({}, {}, 1, 0); }), "at least one picture"));
  CHECK(contains(refusal_of([] { BatchOrder({0}, {1}, 0, 0); }), "batch size"));
}
