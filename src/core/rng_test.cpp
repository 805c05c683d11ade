#include "core/rng.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace pangu;

TEST_CASE("philox gives the known answers of its authors") {
  // Random123 known-answer file, philox4x32 with 10 rounds.
  CHECK(philox4x32(0, 0, 0) ==
        std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint64_t ones = ~0ull;
  CHECK(philox4x32(ones, ones, ones) ==
        std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
}

TEST_CASE("normals do not depend on how a stream is cut") {
  std::vector<float> whole(1000), parts(1000);
  fill_normal(7, 3, 0, whole.data(), 1000);
  size_t at = 0;
  for (size_t step : {1, 2, 3, 5, 89, 900}) {
    fill_normal(7, 3, at, parts.data() + at, step);
    at += step;
  }
  CHECK(at == 1000);
  CHECK(whole == parts);
}

TEST_CASE("normals have mean 0, variance 1 and streams differ") {
  std::vector<float> a(200000), b(200000);
  fill_normal(1, 0, 0, a.data(), a.size());
  fill_normal(1, 1, 0, b.data(), b.size());
  double mean = 0, var = 0, cross = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    mean += a[i], var += double(a[i]) * a[i], cross += double(a[i]) * b[i];
  }
  const double n = double(a.size());
  CHECK(std::abs(mean / n) < 0.01);
  CHECK(std::abs(var / n - 1) < 0.02);
  CHECK(std::abs(cross / n) < 0.01);
}

TEST_CASE("below stays below its bound and reaches every value") {
  Rng rng(5, 9);
  std::vector<int> seen(7);
  for (int i = 0; i < 7000; ++i) ++seen[rng.below(7)];
  for (int count : seen) CHECK(count > 800);
}
