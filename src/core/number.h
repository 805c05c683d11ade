// Reading a number that a person wrote.
#pragma once
#include <charconv>
#include <cmath>
#include <string>

#include "core/error.h"

namespace pangu {

// Reads the whole text as a finite number. Throws kBadInput, which names `what`.
inline double number_of(const std::string& what, const std::string& text) {
  double value = 0.0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || !std::isfinite(value)) {
    throw bad_input(what, "a number", "'" + text + "'");
  }
  return value;
}

}  // namespace pangu
