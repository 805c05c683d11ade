#include "data/permutation.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cstddef>
#include <vector>

using pangu::data::Permutation;

namespace {

bool is_bijection(const Permutation& order) {
  std::vector<bool> seen(order.size());
  for (uint64_t i = 0; i < order.size(); ++i) {
    const uint64_t at = order(i);
    if (at >= order.size() || seen[at]) return false;
    seen[at] = true;
  }
  return true;
}

}  // namespace

TEST_CASE("every size is permuted without loss") {
  for (uint64_t size = 1; size <= 300; ++size) CHECK(is_bijection(Permutation(size, 1, size)));
  CHECK(rc::check([](uint64_t seed, uint64_t stream) {
    const uint64_t size = *rc::gen::inRange<uint64_t>(1, 5000);
    RC_ASSERT(is_bijection(Permutation(size, seed, stream)));
  }));
}

TEST_CASE("a place of a permutation of ten thousand million is found at once") {
  const Permutation order(10'000'000'000, 3, 4);
  for (uint64_t i = 0; i < 1000; ++i) CHECK(order(i * 9'999'999) < order.size());
}

TEST_CASE("streams and seeds give other permutations, and the same ones again") {
  const auto all = [](uint64_t seed, uint64_t stream) {
    const Permutation order(50, seed, stream);
    std::vector<uint64_t> values;
    for (uint64_t i = 0; i < 50; ++i) values.push_back(order(i));
    return values;
  };
  CHECK(all(1, 2) == all(1, 2));
  CHECK(all(1, 2) != all(1, 3));
  CHECK(all(1, 2) != all(2, 2));
}

TEST_CASE("a small permutation puts every number everywhere about equally often") {
  // Chi squared with 80 degrees of freedom (10 x 10 cells whose margins are fixed, and then some):
  // above 150 by chance less than once in 10^5.
  constexpr int kSize = 10, kTimes = 20000;
  std::vector<int> counts(kSize * kSize);
  for (int epoch = 0; epoch < kTimes; ++epoch) {
    const Permutation order(kSize, 7, static_cast<uint64_t>(epoch));
    for (uint64_t i = 0; i < kSize; ++i) ++counts[static_cast<size_t>(i * kSize + order(i))];
  }
  const double expected = double(kTimes) / kSize;
  double chi = 0;
  for (const int count : counts) chi += (count - expected) * (count - expected) / expected;
  CHECK(chi < 150);
}
