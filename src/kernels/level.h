// Which instructions of the processor the kernels of this room use. Every level is in the program,
// whatever it was compiled for; which one runs is chosen when it runs.
#pragma once
#include <optional>
#include <string_view>

namespace pangu::kernels {

// From the least to the most that a processor has.
enum class Level {
  kPlain,        // C++ alone: the definition, which the other levels are compared with
  kAvx2,         // bf16 in memory and f32 in registers, by AVX2 and FMA (Haswell, Zen, and later)
  kAvx512,       // the same by AVX-512 F, BW, DQ and VL (Skylake's servers, Ice Lake, and later)
  kAvx512Bf16,   // AVX-512 with dot products of bf16 pairs and of bytes (Zen 4 and later, Cooper
                 // Lake, Sapphire Rapids and later)
  kAmxEmulated,  // kAmx with its four instructions written out in C++: for tests, where a processor
                 // has AVX512-BF16 but no AMX
  kAmx,          // tiles of bf16 (Sapphire Rapids and later)
};

std::string_view to_string(Level level);  // as PANGU_KERNELS names it: "avx512_bf16"

// Whether this processor runs the level, and this process may: the first question for kAmx asks the
// kernel of the operating system for the tiles.
bool machine_has(Level level);

// Whether the level multiplies pairs of bf16 numbers.
constexpr bool has_pair_products(Level level) { return level >= Level::kAvx512Bf16; }

// Whether this machine, held to the level, multiplies bytes four at a time (AVX512-VNNI): from
// kAvx512Bf16 on every one does, at kAvx512 Cascade Lake and Ice Lake do and Skylake does not.
bool multiplies_bytes(Level level);

// The level that the environment variable PANGU_KERNELS asks for, for every shape; without a value,
// or with one that the machine has not, the table of kernels/serving.h decides. The variable is
// read once in a process.
std::optional<Level> asked_level();

// The best level that the machine has, or the one asked for.
Level chosen_level();

}  // namespace pangu::kernels
