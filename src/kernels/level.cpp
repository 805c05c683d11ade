#include "kernels/level.h"

#include <cstdlib>

namespace pangu::kernels {

std::string_view to_string(Level level) {
  return level == Level::kAvx512Bf16 ? "avx512_bf16" : "plain";
}

bool machine_has(Level level) {
  if (level == Level::kPlain) return true;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bf16");
}

Level chosen_level() {
  static const Level level = [] {
    const Level best = machine_has(Level::kAvx512Bf16) ? Level::kAvx512Bf16 : Level::kPlain;
    const char* wanted = std::getenv("PANGU_KERNELS");
    return wanted && wanted == to_string(Level::kPlain) ? Level::kPlain : best;
  }();
  return level;
}

}  // namespace pangu::kernels
