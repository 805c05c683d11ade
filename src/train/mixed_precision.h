// Which number format trains fastest on a machine.
#pragma once
#include <string>

namespace pangu::train {

// The value of `mixed_precision`: "bf16" on CUDA and on processors that multiply bf16
// (AVX512-BF16), for which libtorch's operators are fast in it, else "no". Training computes by
// those operators, not by the kernels that draw.
std::string fastest_mixed_precision(const std::string& device);

}  // namespace pangu::train
