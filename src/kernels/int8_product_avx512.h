// Products of bytes by AVX-512 and its dot products of four unsigned with four signed bytes
// (AVX512-VNNI), and the rounding of their inputs. Results in bf16 are rounded by AVX512-BF16 where
// the file that includes this is compiled for it. Everything is in an anonymous namespace, as in
// packed_product_avx512.h.
#pragma once
#include "kernels/int8_product_layout.h"
#include "kernels/packed_product_avx512.h"

namespace pangu::kernels {
namespace {

// The inputs of a tap for each pixel of a tile, and their factors.
struct Int8Segment {
  const uint8_t* rows[8];  // the first kPixelTile of them
  float factors[8];
};

// The type that the instruction's builtin has: gcc 12 keeps an array of it in registers, and one of
// __m512i in memory.
using Int32s [[gnu::vector_size(64)]] = int;

// sums[pixels][16 x vectors] (+)= the products of a segment with a panel's tap. b: [quads][16 x
// vectors][4]; offsets: [16 x vectors]. Not inlined: its sums fill the registers.
template <int kPixels, int kVectors>
[[gnu::noinline]] void multiply_tap(const Int8Segment& segment, int64_t quads, const int8_t* b,
                                    const int32_t* offsets, bool adds, float* sums) {
  const uint8_t* const* rows = segment.rows;
  Int32s s[kPixels][kVectors];
  for (int i = 0; i < kPixels; ++i) {
    for (int j = 0; j < kVectors; ++j) s[i][j] = (Int32s)_mm512_load_si512(offsets + j * kVector);
  }
  for (int64_t k = 0; k < quads; ++k) {
    __m512i columns[kVectors];
    for (int j = 0; j < kVectors; ++j) columns[j] = _mm512_load_si512(b + j * 4 * kVector);
    b += 4 * kVector * kVectors;
    for (int i = 0; i < kPixels; ++i) {
      int quad;
      __builtin_memcpy(&quad, rows[i] + 4 * k, sizeof quad);
      const __m512i row = _mm512_set1_epi32(quad);
      for (int j = 0; j < kVectors; ++j)
        s[i][j] = (Int32s)_mm512_dpbusd_epi32((__m512i)s[i][j], row, columns[j]);
    }
  }
  for (int i = 0; i < kPixels; ++i) {
    const __m512 factor = _mm512_set1_ps(segment.factors[i]);
    for (int j = 0; j < kVectors; ++j) {
      float* sum = sums + i * kPanel + j * kVector;
      const __m512 before = adds ? _mm512_load_ps(sum) : _mm512_setzero_ps();
      _mm512_store_ps(sum, _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)s[i][j]), factor, before));
    }
  }
}

void multiply_tap_of(int64_t width, const Int8Segment& segment, int64_t quads, const int8_t* b,
                     const int32_t* offsets, bool adds, float* sums) {
  switch (width) {
    case 64:
      return multiply_tap<kPixelTile, 4>(segment, quads, b, offsets, adds, sums);
    case 48:
      return multiply_tap<kPixelTile, 3>(segment, quads, b, offsets, adds, sums);
    case 32:
      return multiply_tap<kPixelTile, 2>(segment, quads, b, offsets, adds, sums);
    default:
      return multiply_tap<kPixelTile, 1>(segment, quads, b, offsets, adds, sums);
  }
}

struct Int8Kernel {
  using Vector = Avx512;
  using PixelWalk = Walk;
  const Int8Problem& q;
  Int8Layout layout;

  const std::byte* panel(int64_t panel) const { return q.packed + 4 * layout.panel_begin(panel); }
  const float* scales(int64_t index) const {
    const int64_t width = layout.columns.width(index);
    return (const float*)(panel(index) + 4 * layout.factors_begin(width));
  }
  void ask_ahead(int64_t pixel, int64_t count) const {
    ask_for_inputs(q.product, q.x, pixel, count);
  }

  // Pixels that do not exist take the inputs of the first one, times 0.
  Int8Segment segment_of(const Tile& tile, int64_t tap) const {
    const ProductProblem& p = q.product;
    const TapPixels pixels = pixels_of_tap(p, tile, tap);
    const __m512i index = _mm512_maskz_mov_epi64(pixels.there, pixels.index);
    const __m512i from = _mm512_mullo_epi64(index, _mm512_set1_epi64(p.x_pixel));
    Int8Segment segment;
    _mm512_storeu_si512(segment.rows, _mm512_add_epi64(_mm512_set1_epi64((int64_t)q.x), from));
    _mm256_storeu_ps(segment.factors, _mm512_mask_i64gather_ps(_mm256_setzero_ps(), pixels.there,
                                                               index, q.x_factors, sizeof(float)));
    return segment;
  }

  void add_products(const Tile& tile, const Visit& visit, int64_t width, bool adds,
                    float* sums) const {
    const std::byte* begin = panel(visit.panel);
    const int64_t quads = layout.quads;
    for (int64_t tap = visit.begin / quads; tap < visit.end / quads; ++tap) {
      const auto* codes = (const int8_t*)(begin + 4 * tap * quads * width);
      const auto* offsets =
          (const int32_t*)(begin + 4 * (layout.offsets_begin(width) + tap * width));
      multiply_tap_of(width, segment_of(tile, tap), quads, codes, offsets, adds, sums);
      adds = true;
    }
  }
};

// A row's numbers after its norm and activation.
struct Row {
  alignas(64) float numbers[kMostInt8Inputs];
};

struct MeanAndFactor {
  float mean, factor;  // (x - mean) factor is normed
};

MeanAndFactor norm_of(const uint16_t* x, int64_t inputs, float eps) {
  __m512 sum = _mm512_setzero_ps(), squares = sum;
  for (int64_t i = 0; i < inputs; i += kVector) {
    sum = _mm512_add_ps(sum, Avx512::load_bf16(x + i, Avx512::first(inputs - i)));
  }
  const float mean = _mm512_reduce_add_ps(sum) / (float)inputs;
  for (int64_t i = 0; i < inputs; i += kVector) {
    const __mmask16 lanes = Avx512::first(inputs - i);
    const __m512 apart =
        _mm512_maskz_sub_ps(lanes, Avx512::load_bf16(x + i, lanes), _mm512_set1_ps(mean));
    squares = _mm512_fmadd_ps(apart, apart, squares);
  }
  const float variance = _mm512_reduce_add_ps(squares) / (float)inputs;
  return {mean, 1 / __builtin_sqrtf(variance + eps)};
}

// The greatest size as bits: those of not-a-number are greater than those of any number.
inline __m512i greatest(__m512i most, __m512 y) {
  return _mm512_max_epu32(most,
                          _mm512_and_si512(_mm512_castps_si512(y), _mm512_set1_epi32(0x7fffffff)));
}

// Writes the row's numbers y = silu(a x + s) or the like to `to`, and returns their greatest size.
template <class Form>
[[gnu::always_inline]] inline float form_row(const uint16_t* x, int64_t inputs, bool silu,
                                             float* to, const Form& form) {
  __m512i most = _mm512_setzero_si512();
  for (int64_t i = 0; i < inputs; i += kVector) {
    const __mmask16 lanes = Avx512::first(inputs - i);
    __m512 y = form(Avx512::load_bf16(x + i, lanes), i, lanes);
    if (silu) y = silu_of<Avx512>(y);
    _mm512_store_ps(to + i, y);
    most = greatest(most, y);
  }
  return _mm512_cvtss_f32(_mm512_castsi512_ps(_mm512_set1_epi32(_mm512_reduce_max_epu32(most))));
}

float row_numbers(const Int8Rows& r, int64_t row, float* to) {
  const uint16_t* x = r.x + row * r.inputs;
  if (r.norm_weight) {
    const MeanAndFactor norm = norm_of(x, r.inputs, r.eps);
    const __m512 mean = _mm512_set1_ps(norm.mean), factor = _mm512_set1_ps(norm.factor);
    return form_row(x, r.inputs, r.silu, to, [&](__m512 v, int64_t i, __mmask16 lanes) {
      const __m512 z = _mm512_mul_ps(_mm512_sub_ps(v, mean), factor);
      return _mm512_fmadd_ps(z, _mm512_maskz_loadu_ps(lanes, r.norm_weight + i),
                             _mm512_maskz_loadu_ps(lanes, r.norm_bias + i));
    });
  }
  if (r.scale) {
    const int64_t picture = row / r.rows_a_picture * r.inputs;
    return form_row(x, r.inputs, r.silu, to, [&](__m512 v, int64_t i, __mmask16 lanes) {
      return _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(lanes, r.scale + picture + i),
                             _mm512_maskz_loadu_ps(lanes, r.shift + picture + i));
    });
  }
  return form_row(x, r.inputs, r.silu, to, [](__m512 v, int64_t, __mmask16) { return v; });
}

void run_int8(const Int8Problem& q, int64_t begin, int64_t end) {
  const ProductTasks tasks = int8_work(q.product);
  TaskSums sums;
  const Int8Kernel kernel{q, Int8Layout(q.product.weights)};
  for (int64_t task = begin; task < end; ++task) {
    run_task(kernel, q.product, tasks, task, sums.numbers);
  }
}

void round_int8_rows(const Int8Rows& r, int64_t begin, int64_t end) {
  constexpr float kMostCode = 127,
                  kLeastSize = 127 * 1.17549435e-38f;  // as the definition has them
  Row numbers;
  for (int64_t row = begin; row < end; ++row) {
    const float most = row_numbers(r, row, numbers.numbers);
    const bool nothing = most < kLeastSize;
    r.factors[row] = nothing ? 0 : most / kMostCode;
    const __m512 inverse = _mm512_set1_ps(nothing ? 0 : kMostCode / most);
    for (int64_t i = 0; i < r.inputs; i += kVector) {
      const __m512 code = _mm512_mul_ps(_mm512_load_ps(numbers.numbers + i), inverse);
      const __m512i byte = _mm512_add_epi32(_mm512_cvtps_epi32(code), _mm512_set1_epi32(128));
      _mm512_mask_cvtepi32_storeu_epi8(r.codes + row * r.inputs + i, Avx512::first(r.inputs - i),
                                       byte);
    }
  }
}

}  // namespace
}  // namespace pangu::kernels
