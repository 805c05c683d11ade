// Fast convolutions by AVX-512 and dot products of bf16 pairs. This file is compiled for such
// processors whatever the rest is compiled for (CMakeLists.txt), so it includes nothing that
// defines inline functions which others use too: the linker could keep the copy made here.
#include "kernels/avx512_math.h"
#include "kernels/bf16_tile_avx512.h"
#include "kernels/fast_conv_loops.h"
#include "kernels/vector_avx512.h"

namespace pangu::kernels::avx512_bf16 {
namespace {

struct DotProducts {
  using Segment = kernels::Segment;
  static void multiply_panel(int64_t width, const Segment* segments, int64_t count,
                             const uint16_t* b, bool adds, float* sums) {
    kernels::multiply_panel(width, segments, count, b, adds, sums);
  }
};

constexpr int64_t kVector = Avx512::kCount;

__m512 weights_at(const FastConvNumbers& numbers, int64_t at, __mmask16 lanes) {
  return numbers.wide_numbers ? Avx512::load(numbers.wide_numbers + at, lanes)
                              : Avx512::load_bf16(numbers.numbers + at, lanes);
}

// The weights of one output for a tap of a part, 16 pairs of inputs from `input` on. from: the
// number of the output's first weight.
__m512i pairs_at(const FastConvNumbers& numbers, int64_t from, int64_t inputs, int64_t input,
                 const TapFactors& taps) {
  const __mmask16 low = Avx512::first(inputs - input);
  const __mmask16 high = Avx512::first(inputs - input - kVector);
  __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t tap = 0; tap < 9; ++tap) {
    if (taps.factor[tap] == 0) continue;
    const __m512 factor = _mm512_set1_ps(taps.factor[tap]);
    const int64_t at = from + tap * inputs + input;
    sums[0] = _mm512_fmadd_ps(weights_at(numbers, at, low), factor, sums[0]);
    sums[1] = _mm512_fmadd_ps(weights_at(numbers, at + kVector, high), factor, sums[1]);
  }
  return (__m512i)_mm512_cvtne2ps_pbh(sums[1], sums[0]);
}

// Writes the weights of 16 outputs from `output` on for a tap of a part: pairs [inputs / 2] of each
// that are `width` pairs apart.
void pack_columns(const FastConvWeights& w, const FastConvNumbers& numbers, int64_t output,
                  const TapFactors& taps, int64_t width, uint16_t* to) {
  for (int64_t input = 0; input < w.inputs; input += 2 * kVector) {
    __m512i rows[kVector];
    for (int64_t i = 0; i < kVector; ++i) {
      rows[i] = output + i < w.outputs
                    ? pairs_at(numbers, (output + i) * 9 * w.inputs, w.inputs, input, taps)
                    : _mm512_setzero_si512();
    }
    transpose(rows);
    const int64_t pairs = (w.inputs - input) / 2 < kVector ? (w.inputs - input) / 2 : kVector;
    for (int64_t k = 0; k < pairs; ++k) {
      _mm512_storeu_si512(to + (input / 2 + k) * width * 2, rows[k]);
    }
  }
}

}  // namespace

// As pack_fast_conv, but whole lines are written.
void fast_conv_pack(const FastConvWeights& w, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed) {
  for_each_tap(w, panel, packed, [&](const TapFactors& taps, int64_t width, uint16_t* to) {
    for (int64_t column = 0; column < width; column += kVector) {
      pack_columns(w, numbers, panel * kPanel + column, taps, width, to + 2 * column);
    }
  });
}

void write_pairs(const PairsInput& input, int64_t begin, int64_t end) {
  write_pairs_of<Avx512>(input, begin, end);
}

void fast_conv_run(const FastConvProblem& problem, int64_t begin, int64_t end) {
  run_fast_conv<Avx512, DotProducts>(problem, begin, end);
}

}  // namespace pangu::kernels::avx512_bf16
