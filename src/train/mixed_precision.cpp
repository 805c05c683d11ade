#include "train/mixed_precision.h"

namespace pangu::train {

std::string fastest_mixed_precision(const std::string& device) {
  return device != "cpu" || __builtin_cpu_supports("avx512bf16") ? "bf16" : "no";
}

}  // namespace pangu::train
