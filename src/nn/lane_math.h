// Scalar functions that gcc and clang turn into vector code in a plain loop: bf16 <-> f32, exp,
// sigmoid, erf. They are no general library: NaN payloads and subnormals are not kept. Accuracy is
// stated and tested (fused_test.cpp).
#pragma once
#include <c10/util/BFloat16.h>

#include <bit>
#include <cstdint>

namespace pangu::nn::lane {

inline float load(float x) { return x; }
inline float load(c10::BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.x) << 16);
}

inline void store(float value, float& out) { out = value; }
// Rounds to nearest, ties to even.
inline void store(float value, c10::BFloat16& out) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  out.x = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Returns e^x for x clamped to [-87, 87], with a relative error below 3e-7: 2^n 2^f with |f| <= 1/2
// and the Taylor series of 2^f.
inline float exp(float x) {
  constexpr float kLog2E = 1.44269504f, kRound = 12582912.0f;  // 1.5 * 2^23 rounds to integer
  constexpr float kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  return p * std::bit_cast<float>((exponent + 127) << 23);
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }

// The Gauss error function, with an absolute error below 5e-7 (Abramowitz and Stegun 7.1.26).
// `gauss` must be exp(-x*x).
inline float erf_given_gauss(float x, float gauss) {
  const float a = x < 0.0f ? -x : x;
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float e = 1.0f - p * t * gauss;
  return x < 0.0f ? -e : e;
}

}  // namespace pangu::nn::lane
