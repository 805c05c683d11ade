#include "pipeline/latent_space.h"

#include <cmath>
#include <cstdlib>

namespace pangu::pipeline {
namespace {

constexpr char kScale[] = " x ", kShift[] = " - ";

// Cuts "MARK NUMBER" from the end of `text`; `otherwise` and nothing cut if it does not end so.
double take_number(std::string& text, const std::string& mark, double otherwise) {
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) return otherwise;
  const char* first = text.c_str() + at + mark.size();
  char* last = nullptr;
  const double value = std::strtod(first, &last);
  if (last == first || *last != '\0' || !std::isfinite(value)) return otherwise;
  text.resize(at);
  return value;
}

}  // namespace

std::string LatentSpace::text() const {
  std::string text = encoder + kScale + std::to_string(scaling_factor);
  if (shift_factor != 0.0) text += kShift + std::to_string(shift_factor);
  return text;
}

LatentSpace LatentSpace::parse(const std::string& text) {
  LatentSpace space;
  space.encoder = text;
  space.shift_factor = take_number(space.encoder, kShift, 0.0);
  space.scaling_factor = take_number(space.encoder, kScale, 0.0);
  if (space.scaling_factor > 0.0) return space;
  return {text, 1.0, 0.0};
}

bool operator==(const LatentSpace& a, const LatentSpace& b) { return a.text() == b.text(); }

bool one_encoder(const LatentSpace& a, const LatentSpace& b) { return a.encoder == b.encoder; }

std::pair<double, double> linear_map(const LatentSpace& from, const LatentSpace& to) {
  return {to.scaling_factor / from.scaling_factor,
          (from.shift_factor - to.shift_factor) * to.scaling_factor};
}

}  // namespace pangu::pipeline
