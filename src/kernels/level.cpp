#include "kernels/level.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace pangu::kernels {
namespace {

constexpr Level kLevels[] = {Level::kPlain,      Level::kAvx2,        Level::kAvx512,
                             Level::kAvx512Bf16, Level::kAmxEmulated, Level::kAmx};

// Whether the operating system keeps the tiles of a thread (XCR0, Intel SDM 13.3) and grants them
// to this process (Linux: Documentation/arch/x86/xstate.rst).
bool tiles_are_granted() {
  constexpr unsigned kXsaveIsOn = 1u << 27;              // leaf 1, ecx
  constexpr uint32_t kTileStates = 1u << 17 | 1u << 18;  // their configuration, and their data
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kXsaveIsOn)) return false;
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kTileStates) != kTileStates) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool has_amx() {
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;  // leaf 7, edx
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d & kBf16) && (d & kTiles) && tiles_are_granted();
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::kAvx2:
      return "avx2";
    case Level::kAvx512:
      return "avx512";
    case Level::kAvx512Bf16:
      return "avx512_bf16";
    case Level::kAmxEmulated:
      return "amx_emulated";
    case Level::kAmx:
      return "amx";
    default:
      return "plain";
  }
}

bool machine_has(Level level) {
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  static const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  static const bool avx512_bf16 =
      avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
  static const bool amx = avx512_bf16 && has_amx();
  switch (level) {
    case Level::kPlain:
      return true;
    case Level::kAvx2:
      return avx2;
    case Level::kAvx512:
      return avx512;
    case Level::kAmx:
      return amx;
    default:
      return avx512_bf16;
  }
}

bool multiplies_bytes(Level level) {
  static const bool vnni = __builtin_cpu_supports("avx512vnni") != 0;
  return vnni && level >= Level::kAvx512 && machine_has(level);
}

std::optional<Level> asked_level() {
  static const std::optional<Level> asked = [] {
    const char* wanted = std::getenv("PANGU_KERNELS");
    for (const Level level : kLevels) {
      if (wanted && wanted == to_string(level) && machine_has(level)) return std::optional(level);
    }
    return std::optional<Level>();
  }();
  return asked;
}

Level chosen_level() {
  if (const auto asked = asked_level()) return *asked;
  for (const Level level : {Level::kAmx, Level::kAvx512Bf16, Level::kAvx512, Level::kAvx2}) {
    if (machine_has(level)) return level;
  }
  return Level::kPlain;
}

}  // namespace pangu::kernels
