// How a convolution passes over its input.
#pragma once
#include <cstdint>

namespace pangu::nn {

struct ConvShape {
  int64_t stride = 1;
  int64_t padding = 0;      // zeros on each side
  bool may_double = false;  // its input may be enlarged twofold first (Prologue::doubles)
};

}  // namespace pangu::nn
