#include "train/block_codes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/rng.h"

using namespace pangu;
using namespace pangu::train;

namespace {

std::vector<float> sorted_levels(CodeKind kind) {
  std::vector<float> levels(code_values(kind).begin(), code_values(kind).end());
  std::sort(levels.begin(), levels.end());
  return levels;
}

std::vector<float> round_trip(CodeKind kind, const std::vector<float>& values) {
  std::vector<uint8_t> codes(values.size());
  std::vector<float> back(values.size());
  const auto count = static_cast<int64_t>(values.size());
  const float scale = encode_block(kind, values.data(), count, codes.data());
  decode_block(kind, codes.data(), count, scale, back.data());
  return back;
}

// Normal numbers with magnitudes over ten decades.
std::vector<float> spread_numbers(CodeKind kind) {
  std::vector<float> values(kCodeBlock), sizes(kCodeBlock);
  fill_normal(3, 0, 0, values.data(), values.size());
  fill_normal(4, 0, 0, sizes.data(), sizes.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] *= std::pow(10.0f, 2 * sizes[i]);
    if (kind == CodeKind::kPositive) values[i] = std::fabs(values[i]);
  }
  return values;
}

}  // namespace

TEST_CASE("codes have levels over seven decades of either sign, or over eight") {
  const auto both = sorted_levels(CodeKind::kSigned);
  CHECK(both.front() == -1);
  CHECK(both.back() == 1);
  CHECK(code_values(CodeKind::kSigned)[1] == doctest::Approx(1e-6));
  const auto positive = sorted_levels(CodeKind::kPositive);
  CHECK(positive.front() == 0);
  CHECK(positive.back() == 1);
  CHECK(positive[1] == doctest::Approx(1e-7));
  CHECK(std::adjacent_find(positive.begin(), positive.end()) == positive.end());
  // 64 levels of the highest decade of either sign, 128 where there is one sign.
  CHECK(std::count_if(both.begin(), both.end(), [](float v) { return v > 0.1001f; }) == 64);
  CHECK(std::count_if(positive.begin(), positive.end(), [](float v) { return v > 0.1001f; }) ==
        128);
}

TEST_CASE("a number becomes the nearest level, and the greatest of its block comes back exactly") {
  for (const CodeKind kind : {CodeKind::kSigned, CodeKind::kPositive}) {
    const auto values = spread_numbers(kind), back = round_trip(kind, values);
    const auto levels = sorted_levels(kind);
    float scale = 0;
    for (const float v : values) scale = std::max(scale, std::fabs(v));
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::fabs(values[i]) == scale) CHECK(back[i] == values[i]);
      double nearest = 2;
      for (const float level : levels) {
        const bool is_allowed = kind == CodeKind::kSigned || level > 0;
        if (is_allowed) nearest = std::min(nearest, std::fabs(double(values[i]) / scale - level));
      }
      // Rounding of the normalised number in f32, at most.
      CHECK(std::fabs(double(back[i]) - double(values[i])) / scale < nearest * (1 + 1e-4) + 1e-6);
    }
  }
}

TEST_CASE("what was decoded is encoded as the same codes") {
  for (const CodeKind kind : {CodeKind::kSigned, CodeKind::kPositive}) {
    const auto once = round_trip(kind, spread_numbers(kind));
    CHECK(round_trip(kind, once) == once);
  }
}

TEST_CASE("zeros stay zeros, and what is positive never becomes zero where it may not") {
  CHECK(round_trip(CodeKind::kSigned, {0, 0, 0}) == std::vector<float>{0, 0, 0});
  CHECK(round_trip(CodeKind::kPositive, {0, 1, 1e-20f})[0] == 0);
  CHECK(round_trip(CodeKind::kPositive, {0, 1, 1e-20f})[2] == doctest::Approx(1e-7));
  CHECK(round_trip(CodeKind::kSigned, {1, -1e-20f})[1] == 0);
}
