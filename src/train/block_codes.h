// Optimiser states of 8 bits: blocks of 256 numbers, each with one f32 scale, its greatest
// magnitude (Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization). A number is a
// code of their dynamic tree: a decade, and a place in it, linear. The levels are at the upper ends
// of their bins, so that the greatest number of a block comes back exactly. Rounds to the nearest
// level; equal numbers always give equal codes. Knows no libtorch and no optimiser.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace pangu::train {

inline constexpr int64_t kCodeBlock = 256;

// A magnitude code c >= 1 whose highest bit is n means 10^-d (0.1 + 0.9 (c - n + 1) / n) of the
// block's scale, where d counts the halvings of the greatest n to n; 0 means 0.
enum class CodeKind {
  kSigned,    // sign and 7 bits: seven decades of 1 to 64 levels
  kPositive,  // 8 bits: eight decades of 1 to 128 levels; what is above 0 never becomes 0
};

// The number of each code, for a scale of 1.
const std::array<float, 256>& code_values(CodeKind kind);

// count: 1 to kCodeBlock. Blocks whose greatest magnitude is below 1e-30 become zeros.
// REQUIRES: finite values, of kPositive none below 0. Returns the scale.
float encode_block(CodeKind kind, const float* values, int64_t count, uint8_t* codes);
void decode_block(CodeKind kind, const uint8_t* codes, int64_t count, float scale, float* values);

}  // namespace pangu::train
