// Which instructions of the processor the kernels of this room use. Every level is in the program,
// whatever it was compiled for; which one runs is chosen when it runs.
#pragma once
#include <string_view>

namespace pangu::kernels {

// From the least to the most that a processor has.
enum class Level {
  kPlain,       // C++ alone: the definition, which the other levels are compared with
  kAvx512Bf16,  // AVX-512 with dot products of bf16 pairs (Zen 4 and later, Sapphire Rapids and
                // later)
};

std::string_view to_string(Level level);

// Whether this processor runs the level.
bool machine_has(Level level);

// The level to compute at: the best one that the machine has, or a lower one that the environment
// variable PANGU_KERNELS asks for ("plain", "avx512_bf16"). The variable is read once in a process.
Level chosen_level();

}  // namespace pangu::kernels
