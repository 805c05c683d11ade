#include "train/block_codes.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pangu::train {
namespace {

constexpr float kTinyScale = 1e-30f;
constexpr int kSignBit = 0x80;
constexpr int kSignedDecades = 7, kPositiveDecades = 8;

constexpr int decades_of(CodeKind kind) {
  return kind == CodeKind::kSigned ? kSignedDecades : kPositiveDecades;
}

std::array<float, 256> values_of(CodeKind kind) {
  std::array<float, 256> values{};
  const int top = 1 << (decades_of(kind) - 1);
  double decade = 1;
  for (int n = top; n >= 1; n /= 2, decade /= 10) {
    for (int c = n; c < 2 * n; ++c) {
      const auto value = static_cast<float>(decade * (0.1 + 0.9 * double(c - n + 1) / n));
      values[size_t(c)] = value;
      if (kind == CodeKind::kSigned) values[size_t(c | kSignBit)] = -value;
    }
  }
  return values;
}

// By the bits, whose order is that of the magnitudes.
float greatest_magnitude(const float* values, int64_t count) {
  uint32_t greatest = 0;
  for (int64_t i = 0; i < count; ++i) {
    greatest = std::max(greatest, std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
  }
  return std::bit_cast<float>(greatest);
}

// z: 0 to 1. The loops below are branchless, so that they run in vectors.
template <int kDecades>
inline int magnitude_code(float z) {
  float n = 1 << (kDecades - 1);
  for (int d = 1; d < kDecades; ++d) {
    const bool is_below = z < 0.1f;
    z = is_below ? z * 10.0f : z;
    n = is_below ? n * 0.5f : n;
  }
  const float beyond = (z - 0.1f) * (n * (1.0f / 0.9f)) + 0.5f;
  const float place = beyond < 0 ? 0.0f : beyond;  // nearer to 0 than to the least level
  const int levels = static_cast<int>(n), whole = static_cast<int>(place);
  return levels - 1 + (whole < levels ? whole : levels);
}

}  // namespace

const std::array<float, 256>& code_values(CodeKind kind) {
  static const std::array<float, 256> tables[] = {values_of(CodeKind::kSigned),
                                                  values_of(CodeKind::kPositive)};
  return tables[kind == CodeKind::kSigned ? 0 : 1];
}

float encode_block(CodeKind kind, const float* values, int64_t count, uint8_t* codes) {
  const float scale = greatest_magnitude(values, count);
  if (scale < kTinyScale) {
    std::fill(codes, codes + count, uint8_t{0});
    return 0;
  }
  const float inverse = 1.0f / scale;
  if (kind == CodeKind::kSigned) {
    for (int64_t i = 0; i < count; ++i) {
      const int code = magnitude_code<kSignedDecades>(std::fabs(values[i]) * inverse);
      const int sign = values[i] < 0 && code > 0 ? kSignBit : 0;
      codes[i] = static_cast<uint8_t>(code | sign);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      const int code = magnitude_code<kPositiveDecades>(values[i] * inverse);
      codes[i] = static_cast<uint8_t>(values[i] > 0 ? std::max(code, 1) : code);
    }
  }
  return scale;
}

void decode_block(CodeKind kind, const uint8_t* codes, int64_t count, float scale, float* values) {
  const float* table = code_values(kind).data();
  for (int64_t i = 0; i < count; ++i) values[i] = table[codes[i]] * scale;
}

}  // namespace pangu::train
