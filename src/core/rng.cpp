#include "core/rng.h"

#include <cmath>

namespace pangu {
namespace {

constexpr uint32_t kMul0 = 0xD2511F53, kMul1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr double kTwoPi = 6.283185307179586476925286766559;

// The result lies in (0, 1], so that the logarithm of Box-Muller never sees zero.
double open_unit(uint32_t bits) { return (bits + 1.0) * 0x1p-32; }

}  // namespace

std::array<uint32_t, 4> philox4x32(uint64_t seed, uint64_t stream, uint64_t block) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                               static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(kMul0) * c[0];
    const uint64_t p1 = static_cast<uint64_t>(kMul1) * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return c;
}

void fill_normal(uint64_t seed, uint64_t stream, uint64_t offset, float* out, size_t count) {
  size_t i = 0;
  while (i < count) {
    const uint64_t at = offset + i;
    const auto words = philox4x32(seed, stream, at / 4);
    double normals[4];
    for (int pair = 0; pair < 2; ++pair) {
      const double radius = std::sqrt(-2.0 * std::log(open_unit(words[2 * pair])));
      const double angle = kTwoPi * (words[2 * pair + 1] * 0x1p-32);
      normals[2 * pair] = radius * std::cos(angle);
      normals[2 * pair + 1] = radius * std::sin(angle);
    }
    for (uint64_t lane = at % 4; lane < 4 && i < count; ++lane, ++i) {
      out[i] = static_cast<float>(normals[lane]);
    }
  }
}

uint32_t Rng::next_u32() {
  if (left_ == 0) {
    buffer_ = philox4x32(seed_, stream_, block_++);
    left_ = 4;
  }
  return buffer_[4 - left_--];
}

uint64_t Rng::below(uint64_t bound) {
  // 64 random bits against a bound far below 2^32: the bias of the product is under 2^-32.
  const uint64_t bits = (static_cast<uint64_t>(next_u32()) << 32) | next_u32();
  return static_cast<uint64_t>((static_cast<unsigned __int128>(bits) * bound) >> 64);
}

double Rng::uniform() {
  const uint64_t bits = (static_cast<uint64_t>(next_u32()) << 32) | next_u32();
  return (bits >> 11) * 0x1p-53;
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(open_unit(next_u32())));
  return radius * std::cos(kTwoPi * (next_u32() * 0x1p-32));
}

}  // namespace pangu
