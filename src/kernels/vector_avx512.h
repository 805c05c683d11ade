// Vectors of sixteen f32 numbers by AVX-512 (F, BW, DQ, VL; rounding to bf16 by AVX512-BF16 where
// the file is compiled for it), as vector_avx2.h has them of eight.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace pangu::kernels {
namespace {

struct Avx512 {
  using Floats = __m512;
  static constexpr int64_t kCount = 16;

  using Lanes = __mmask16;
  static Lanes first(int64_t count) {
    return count >= kCount ? (Lanes)0xffff : count <= 0 ? (Lanes)0 : (Lanes)((1u << count) - 1);
  }

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats all_of(float x) { return _mm512_set1_ps(x); }
  static Floats load(const float* aligned) { return _mm512_load_ps(aligned); }
  static Floats load_any(const float* from) { return _mm512_loadu_ps(from); }
  static Floats load(const float* from, Lanes lanes) { return _mm512_maskz_loadu_ps(lanes, from); }
  static void store(float* aligned, Floats x) { _mm512_store_ps(aligned, x); }
  static void store_any(float* to, Floats x) { _mm512_storeu_ps(to, x); }
  static void store(float* to, Lanes lanes, Floats x) { _mm512_mask_storeu_ps(to, lanes, x); }

  static Floats load_bf16(const uint16_t* from) { return load_bf16(from, (Lanes)0xffff); }
  static Floats load_bf16(const uint16_t* from, Lanes lanes) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static void store_bf16(uint16_t* to, Lanes lanes, Floats x) {
#ifdef __AVX512BF16__
    _mm256_mask_storeu_epi16(to, lanes, (__m256i)_mm512_cvtneps_pbh(x));
#else
    const __m512i bits = _mm512_castps_si512(x), high = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 none = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i rounded =
        _mm512_mask_or_epi32(_mm512_srli_epi32(up, 16), none, high, _mm512_set1_epi32(0x40));
    _mm256_mask_storeu_epi16(to, lanes, _mm512_cvtepi32_epi16(rounded));
#endif
  }

  static Floats first_of_pairs(const uint16_t* aligned) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(aligned), 16));
  }
  static Floats second_of_pairs(const uint16_t* aligned) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_load_si512(aligned), _mm512_set1_epi32((int)0xffff0000)));
  }

  static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats fms(Floats a, Floats b, Floats c) { return _mm512_fmsub_ps(a, b, c); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats greater(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats size(Floats x) { return _mm512_abs_ps(x); }
  static Floats where_positive(Floats x, Floats a, Floats b) {
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ), a);
  }
  static Floats fraction(Floats x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF); }
  static Floats scaled(Floats x, Floats t) { return _mm512_scalef_ps(x, t); }
  static float greatest(Floats x) { return _mm512_reduce_max_ps(x); }
  static float sum(Floats x) { return _mm512_reduce_add_ps(x); }
};

}  // namespace
}  // namespace pangu::kernels
