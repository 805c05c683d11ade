#include "data/permutation.h"

#include <bit>
#include <utility>

#include "core/rng.h"

namespace pangu::data {
namespace {

// Four are enough for halves of many bits (Luby and Rackoff 1988); small sizes have halves of one
// or two.
constexpr uint64_t kRounds = 8;

}  // namespace

Permutation::Permutation(uint64_t size, uint64_t seed, uint64_t stream)
    : size_(size), seed_(seed), stream_(stream) {
  half_bits_ = (static_cast<int>(std::bit_width(size - 1)) + 1) / 2;
}

uint64_t Permutation::operator()(uint64_t place) const {
  if (size_ == 1) return 0;
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  // The network permutes fewer than four times as many numbers. One that is too large is permuted
  // again: the walk stays on its cycle, which begins below `size_` and comes back there.
  do {
    uint64_t left = place >> half_bits_, right = place & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = philox4x32(seed_, stream_, right << 3 | round)[0] & mask;
      left = std::exchange(right, left ^ mixed);
    }
    place = left << half_bits_ | right;
  } while (place >= size_);
  return place;
}

}  // namespace pangu::data
