#include "core/processor.h"

namespace pangu {

bool processor_multiplies_bf16() {
  return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16");
}

}  // namespace pangu
