// What fuzzers check with.
#pragma once
#include <cstdlib>

// Ends the program, which is a finding, unless the condition holds.
inline void require(bool condition) {
  if (!condition) std::abort();
}
