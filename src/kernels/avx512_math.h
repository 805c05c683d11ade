// Vectors of pairs for the AVX-512 kernels. Functions are static, for a file that includes this is
// compiled for such processors alone, and no copy may serve the rest of the program.
#pragma once
#include "kernels/vector_avx512.h"
#include "kernels/vector_math.h"

namespace pangu::kernels {

// Two vectors of numbers in bf16, a lane being a pair of them.
static inline __m512i paired(__m512 first, __m512 second) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

// Transposes sixteen vectors of sixteen lanes.
static inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int n = 0; n < 2; ++n) {
      r[i + 2 * n] = _mm512_unpacklo_epi64(t[i + n], t[i + n + 2]);
      r[i + 2 * n + 1] = _mm512_unpackhi_epi64(t[i + n], t[i + n + 2]);
    }
  }
  // r[4 i + n]: column n of each quarter, of the rows 4 i and on.
  for (int n = 0; n < 4; ++n) {
    const __m512i a = _mm512_shuffle_i32x4(r[n], r[4 + n], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(r[n], r[4 + n], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(r[8 + n], r[12 + n], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(r[8 + n], r[12 + n], 0xdd);
    t[n] = _mm512_shuffle_i32x4(a, c, 0x88), t[8 + n] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[4 + n] = _mm512_shuffle_i32x4(b, d, 0x88), t[12 + n] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

}  // namespace pangu::kernels
