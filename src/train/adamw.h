// One step of AdamW (Loshchilov and Hutter 2019) over the memory of one parameter, in one pass:
// master weights in f32 or split into two halves, moments in f32 or in codes of 8 bits, gradients
// in f32 or bf16. Pointers and counts only: it knows no libtorch, no names and no threads. Results
// do not depend on how a parameter is divided into calls, if each begins at a multiple of
// kCodeBlock.
#pragma once
#include <cstddef>
#include <cstdint>

#include "train/block_codes.h"

namespace pangu::train {

// A split master weight: the upper half is the bf16 number nearest to the f32 (at a tie the one
// with the greater magnitude), with which the network computes; the lower half is the difference of
// their bits. Both together are the 32 bits of the f32, exactly. Nearest rather than cut off:
// cutting would shrink every working weight, by half a unit of its last place in the mean.
inline uint32_t joined(uint16_t high, int16_t low) {
  return (uint32_t(high) << 16) + uint32_t(int32_t(low));
}
inline uint16_t upper_half(uint32_t bits) { return uint16_t((bits + 0x8000u) >> 16); }
inline int16_t lower_half(uint32_t bits) { return int16_t(uint16_t(bits)); }

struct AdamWConstants {
  float lr, eps, decay, grad_scale, ema_decay;  // decay: of the weights, decoupled
  float beta1, beta2;
  float correction1, correction2;  // 1 - beta^step
};

// Arrays of one parameter, all in one order. Of each pair of forms one is null.
struct AdamWState {
  float* master = nullptr;   // or both halves
  uint16_t* high = nullptr;  // bf16, the working weight
  int16_t* low = nullptr;
  float *m = nullptr, *v = nullptr;                   // or codes
  uint8_t *m_codes = nullptr, *root_codes = nullptr;  // of m, and of the root of v
  float *m_scales = nullptr, *root_scales = nullptr;  // one for kCodeBlock numbers
  float* ema = nullptr;                               // or no average
};
struct Gradient {
  const float* f32 = nullptr;
  const uint16_t* bf16 = nullptr;
};

// Elements [first, first + count). REQUIRES: first is a multiple of kCodeBlock. With codes, the
// root of v is kept and not v: it is what divides the update, and its range is half as many
// decades. A positive one never becomes 0, so that no update is divided by nothing.
void adamw_step(const AdamWState& state, const Gradient& gradient, int64_t first, int64_t count,
                const AdamWConstants& constants);

// The sum of squares; f32 within kCodeBlock elements, double over them.
double sum_of_squares(const Gradient& gradient, int64_t count);

}  // namespace pangu::train
