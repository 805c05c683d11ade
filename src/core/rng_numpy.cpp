// NumPy's legacy generator on the standard library's MT19937, whose seeding is the same.
#include "core/rng_numpy.h"

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "core/error.h"

namespace pangu {
namespace {

uint32_t checked(uint64_t seed) {
  if (seed > std::numeric_limits<uint32_t>::max()) {
    throw bad_input("seed of numpy noise", "0 to 4294967295", std::to_string(seed));
  }
  return static_cast<uint32_t>(seed);
}

}  // namespace

NumpyRandom::NumpyRandom(uint64_t seed) : engine_(checked(seed)) {}

double NumpyRandom::uniform() {
  const uint32_t high = next_u32() >> 5, low = next_u32() >> 6;
  return (high * 0x1p26 + low) * 0x1p-53;
}

double NumpyRandom::normal() {
  if (has_kept_) {
    has_kept_ = false;
    return kept_;
  }
  double a, b, square;
  do {
    a = 2.0 * uniform() - 1.0;
    b = 2.0 * uniform() - 1.0;
    square = a * a + b * b;
  } while (square >= 1.0 || square == 0.0);
  const double factor = std::sqrt(-2.0 * std::log(square) / square);
  kept_ = factor * a;
  has_kept_ = true;
  return factor * b;
}

void NumpyRandom::fill_normal(float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(normal());
}

std::vector<int64_t> NumpyRandom::permutation(uint64_t count) {
  if (count > std::numeric_limits<uint32_t>::max()) {
    throw bad_input("numpy permutation", "at most 4294967295 numbers", std::to_string(count));
  }
  std::vector<int64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  // Fisher and Yates from the end; a position is drawn by masking and drawing again.
  for (uint64_t i = count; i-- > 1;) {
    const auto mask = static_cast<uint32_t>(std::bit_ceil(i + 1) - 1);
    uint32_t j;
    do {
      j = next_u32() & mask;
    } while (j > i);
    std::swap(numbers[i], numbers[j]);
  }
  return numbers;
}

}  // namespace pangu
