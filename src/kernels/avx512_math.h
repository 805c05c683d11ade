// Functions of vectors of f32 for the AVX-512 kernels. They are static, for a file that includes
// this is compiled for such processors alone, and no copy may serve the rest of the program.
#pragma once
#include <immintrin.h>

namespace pangu::kernels {

// 2^t; 0 for -inf. The fraction's polynomial has a greatest relative error of 2.7e-6 on [0,1]
// (minimax by reweighted least squares), a thousandth of what bf16 resolves.
static inline __m512 exp2_of(__m512 t) {
  const __m512 f = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF);  // t - floor(t)
  __m512 p = _mm512_set1_ps(0.013534167781472206f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.05201146379113197f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2414427548646927f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6930038332939148f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0000026226043701f));
  return _mm512_scalef_ps(p, t);
}

static inline __m512 exp_of(__m512 x) {
  return exp2_of(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)));
}

// x sigmoid(x)
static inline __m512 silu_of(__m512 x) {
  const __m512 one = _mm512_set1_ps(1);
  return _mm512_div_ps(x, _mm512_add_ps(one, exp_of(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// x Phi(x), Phi the normal distribution: Phi(x) = (1 + erf(x / sqrt 2)) / 2 with the error function
// of Abramowitz and Stegun 7.1.26, whose absolute error is below 5e-7 in f32.
static inline __m512 gelu_of(__m512 x) {
  const __m512 one = _mm512_set1_ps(1);
  const __m512 square = _mm512_mul_ps(x, x);
  const __m512 gauss = exp_of(_mm512_mul_ps(square, _mm512_set1_ps(-0.5f)));
  const __m512 size = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
  const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f), one));
  __m512 p = _mm512_set1_ps(1.061405429f);
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
  // For x > 0 this is 1 - tail, for x < 0 it is the tail itself: no digits are lost where Phi is
  // small.
  const __m512 tail =
      _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(p, t), gauss), _mm512_set1_ps(0.5f));
  const __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ);
  return _mm512_mul_ps(x, _mm512_mask_sub_ps(tail, above, one, tail));
}

// The first `count` lanes; all of them from 16 on.
static inline __mmask16 first_lanes(long count) {
  return count >= 16  ? (__mmask16)0xffff
         : count <= 0 ? (__mmask16)0
                      : (__mmask16)((1u << count) - 1);
}

static inline __m512 load_bf16(const unsigned short* from, __mmask16 lanes) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

// Rounds to nearest, ties to even.
static inline void store_bf16(unsigned short* to, __mmask16 lanes, __m512 x) {
  _mm256_mask_storeu_epi16(to, lanes, (__m256i)_mm512_cvtneps_pbh(x));
}

}  // namespace pangu::kernels
