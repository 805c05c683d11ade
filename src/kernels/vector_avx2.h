// Vectors of eight f32 numbers by AVX2 and FMA, as the loops that are written once for every width
// take them (packed_product_f32.h, attention_f32.h, fast_conv_loops.h). Everything is in an
// anonymous namespace, for a file that includes this is compiled for such processors alone, and no
// copy may serve the rest of the program.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace pangu::kernels {
namespace {

struct Avx2 {
  using Floats = __m256;
  static constexpr int64_t kCount = 8;

  // The first `count` lanes, of 0 to 8.
  struct Lanes {
    __m256i mask;
    int64_t count;
    bool all() const { return count == kCount; }
  };
  static Lanes first(int64_t count) {
    count = count < 0 ? 0 : count > kCount ? kCount : count;
    const __m256i number = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return {_mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), number), count};
  }

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats all_of(float x) { return _mm256_set1_ps(x); }
  static Floats load(const float* aligned) { return _mm256_load_ps(aligned); }
  static Floats load_any(const float* from) { return _mm256_loadu_ps(from); }
  static Floats load(const float* from, const Lanes& lanes) {  // 0 in the other lanes
    return _mm256_maskload_ps(from, lanes.mask);
  }
  static void store(float* aligned, Floats x) { _mm256_store_ps(aligned, x); }
  static void store_any(float* to, Floats x) { _mm256_storeu_ps(to, x); }
  static void store(float* to, const Lanes& lanes, Floats x) {
    _mm256_maskstore_ps(to, lanes.mask, x);
  }

  static Floats load_bf16(const uint16_t* from) {
    return widened(_mm_loadu_si128((const __m128i*)from));
  }
  static Floats load_bf16(const uint16_t* from, const Lanes& lanes) {
    if (lanes.all()) return load_bf16(from);
    alignas(16) uint16_t numbers[kCount] = {};
    __builtin_memcpy(numbers, from, (size_t)lanes.count * sizeof *from);
    return widened(_mm_load_si128((const __m128i*)numbers));
  }
  // Rounds to nearest, ties to even; not-a-number stays one.
  static void store_bf16(uint16_t* to, const Lanes& lanes, Floats x) {
    const __m256i bits = _mm256_castps_si256(x), high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i none = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i rounded = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), quiet, none);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    const __m128i narrow = _mm256_castsi256_si128(packed);
    if (lanes.all()) return _mm_storeu_si128((__m128i*)to, narrow);
    alignas(16) uint16_t numbers[kCount];
    _mm_store_si128((__m128i*)numbers, narrow);
    __builtin_memcpy(to, numbers, (size_t)lanes.count * sizeof *to);
  }

  // Eight pairs of bf16 numbers, a lane a pair: the first ones, and the second ones.
  static Floats first_of_pairs(const uint16_t* aligned) {
    const __m256i pairs = _mm256_load_si256((const __m256i*)aligned);
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
  }
  static Floats second_of_pairs(const uint16_t* aligned) {
    // Read anew each time: the mask would take the register that the sums of a tile need.
    const __m256i mask = *(const volatile __m256i*)kSecondHalves;
    return _mm256_castsi256_ps(_mm256_and_si256(mask, *(const __m256i*)aligned));
  }

  static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats fms(Floats a, Floats b, Floats c) { return _mm256_fmsub_ps(a, b, c); }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats greater(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats size(Floats x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  // a where x is 0 or above, else b.
  static Floats where_positive(Floats x, Floats a, Floats b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ));
  }
  static Floats fraction(Floats x) { return _mm256_sub_ps(x, _mm256_floor_ps(x)); }
  // x 2^floor(t); 0 for t below -126, and 2^127 x for t above 127.
  static Floats scaled(Floats x, Floats t) {
    const Floats least = _mm256_set1_ps(-126), most = _mm256_set1_ps(127);
    const Floats n = _mm256_floor_ps(_mm256_min_ps(most, _mm256_max_ps(least, t)));
    const __m256i biased = _mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127));
    const __m256i power = _mm256_slli_epi32(biased, 23);
    return _mm256_and_ps(_mm256_mul_ps(x, _mm256_castsi256_ps(power)),
                         _mm256_cmp_ps(t, least, _CMP_NLT_UQ));
  }
  static float greatest(Floats x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
  }
  static float sum(Floats x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }

 private:
  alignas(32) static constexpr uint32_t kSecondHalves[kCount] = {0xffff0000, 0xffff0000, 0xffff0000,
                                                                 0xffff0000, 0xffff0000, 0xffff0000,
                                                                 0xffff0000, 0xffff0000};

  static Floats widened(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
};

}  // namespace
}  // namespace pangu::kernels
