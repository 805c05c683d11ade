// The name of a latent space: which encoder makes it, and how its latents are scaled for denoisers.
// Spaces of one encoder are one space but for a linear map.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace pangu::pipeline {

// Latents are (z - shift_factor) * scaling_factor of what the encoder says.
struct LatentSpace {
  std::string encoder;  // fingerprint of its weights
  double scaling_factor = 1.0, shift_factor = 0.0;

  // "ENCODER x 0.182150", and " - 0.062000" if there is a shift. Files name spaces so.
  std::string text() const;
  // A text without these ends is that of an encoder without scale.
  static LatentSpace parse(const std::string& text);
};

// Spaces are one if their texts are: a file keeps six decimals of a scale.
bool operator==(const LatentSpace& a, const LatentSpace& b);

// Whether one encoder makes both.
bool one_encoder(const LatentSpace& a, const LatentSpace& b);

// Latents of `from` as those of `to`: z * first + second. Their encoder is one.
std::pair<double, double> linear_map(const LatentSpace& from, const LatentSpace& to);

}  // namespace pangu::pipeline

template <>
struct std::hash<pangu::pipeline::LatentSpace> {
  size_t operator()(const pangu::pipeline::LatentSpace& space) const {
    return std::hash<std::string>()(space.text());
  }
};
