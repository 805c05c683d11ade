// Products with packed weights by AVX-512 and dot products of bf16 pairs. This file is compiled for
// such processors whatever the rest is compiled for (CMakeLists.txt), so it includes nothing that
// defines inline functions which others use too: the linker could keep the copy made here.
#include <immintrin.h>

#include "kernels/avx512_math.h"
#include "kernels/packed_product_tasks.h"

namespace pangu::kernels::avx512_bf16 {
namespace {

constexpr int64_t kVector = 16;

// One run of inputs that lie side by side for each pixel of a tile.
struct Segment {
  const uint16_t* rows[8];  // the first kPixelTile of them
  int64_t pairs;
};

// sums[pixels][16 x vectors] (+)= the products of the segments with a panel. b: [pairs][16 x
// vectors][2]. Not inlined: its sums fill the registers.
template <int kPixels, int kVectors>
[[gnu::noinline]] void multiply(const Segment* segments, int64_t count, const uint16_t* b,
                                bool adds, float* sums) {
  __m512 s[kPixels][kVectors];
  for (int i = 0; i < kPixels; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      s[i][j] = adds ? _mm512_load_ps(sums + i * kPanel + j * kVector) : _mm512_setzero_ps();
    }
  }
  for (int64_t n = 0; n < count; ++n) {
    const uint16_t* const* rows = segments[n].rows;
    const int64_t pairs = segments[n].pairs;
    for (int64_t k = 0; k < pairs; ++k) {
      __m512bh columns[kVectors];
      for (int j = 0; j < kVectors; ++j) {
        columns[j] = (__m512bh)_mm512_load_si512(b + j * 2 * kVector);
      }
      b += 2 * kVector * kVectors;
      for (int i = 0; i < kPixels; ++i) {
        int pair;
        __builtin_memcpy(&pair, rows[i] + 2 * k, sizeof pair);
        const __m512bh row = (__m512bh)_mm512_set1_epi32(pair);
        for (int j = 0; j < kVectors; ++j) s[i][j] = _mm512_dpbf16_ps(s[i][j], columns[j], row);
      }
    }
  }
  for (int i = 0; i < kPixels; ++i) {
    for (int j = 0; j < kVectors; ++j) _mm512_store_ps(sums + i * kPanel + j * kVector, s[i][j]);
  }
}

void multiply_panel(int64_t width, const Segment* segments, int64_t count, const uint16_t* b,
                    bool adds, float* sums) {
  switch (width) {
    case 64:
      return multiply<kPixelTile, 4>(segments, count, b, adds, sums);
    case 48:
      return multiply<kPixelTile, 3>(segments, count, b, adds, sums);
    case 32:
      return multiply<kPixelTile, 2>(segments, count, b, adds, sums);
    default:
      return multiply<kPixelTile, 1>(segments, count, b, adds, sums);
  }
}

inline __m512 bias_of(const float* bias, int64_t output, __mmask16 lanes) {
  return bias ? _mm512_maskz_loadu_ps(lanes, bias + output) : _mm512_setzero_ps();
}

// Writes the results of one pixel and panel.
void finish(const ProductProblem& p, int64_t panel, int64_t width, const float* sums,
            int64_t pixel) {
  const ProductActivation activation = p.weights.activation;
  const bool geglu = activation == ProductActivation::kGeglu;
  const int64_t results = p.weights.results(), each = geglu ? width / 2 : width;
  const int64_t first = panel * (geglu ? kPanel / 2 : kPanel);
  for (int64_t j = 0; j < each; j += kVector) {
    const int64_t at = first + j;
    const __mmask16 lanes = first_lanes(results - at);
    __m512 y = _mm512_add_ps(_mm512_load_ps(sums + j), bias_of(p.bias, at, lanes));
    if (geglu) {
      const __m512 g =
          _mm512_add_ps(_mm512_load_ps(sums + each + j), bias_of(p.bias, results + at, lanes));
      y = _mm512_mul_ps(y, gelu_of(g));
    } else if (activation == ProductActivation::kSilu) {
      y = silu_of(y);
    } else if (activation == ProductActivation::kGelu) {
      y = gelu_of(y);
    }
    const int64_t from = pixel * p.residual_pixel + at, to = pixel * p.out_pixel + at;
    if (p.residual) y = _mm512_add_ps(y, load_bf16(p.residual + from, lanes));
    if (p.wide_residual) {
      y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, p.wide_residual + from));
    }
    if (p.wide_out) {
      _mm512_mask_storeu_ps(p.wide_out + to, lanes, y);
    } else {
      store_bf16(p.out + to, lanes, y);
    }
  }
}

// Where the pixels of a tile take their inputs from, a lane a pixel. A pixel that is not there lies
// below every picture.
struct Tile {
  __m512i pictures;     // addresses of their pictures
  __m512i tops, lefts;  // of the first tap, in rows and columns of x
};

// Walks over the pixels of the result.
class Walk {
 public:
  Walk(const ProductProblem& p, int64_t pixel)
      : p_(p), high_(p.out_height()), wide_(p.out_width()) {
    picture_ = pixel / (high_ * wide_);
    row_ = pixel / wide_ % high_;
    column_ = pixel % wide_;
  }

  // Takes the next `count` pixels.
  Tile take(int64_t count) {
    alignas(64) int64_t pictures[8] = {}, tops[8], lefts[8] = {};
    for (int64_t i = 0; i < 8; ++i) tops[i] = kNowhere;
    for (int64_t i = 0; i < count; ++i) {
      pictures[i] = (int64_t)(p_.x + picture_ * p_.height * p_.width * p_.x_pixel);
      tops[i] = row_ * p_.stride - p_.padding;
      lefts[i] = column_ * p_.stride - p_.padding;
      if (++column_ == wide_) {
        column_ = 0;
        if (++row_ == high_) row_ = 0, ++picture_;
      }
    }
    return {_mm512_load_si512(pictures), _mm512_load_si512(tops), _mm512_load_si512(lefts)};
  }

 private:
  static constexpr int64_t kNowhere = int64_t{1} << 40;
  const ProductProblem& p_;
  int64_t high_, wide_, picture_, row_, column_;
};

// The segments of pairs [begin, end) of a panel for one tile. Returns how many there are.
int64_t segments_of(const ProductProblem& p, const Tile& tile, const uint16_t* zeros, int64_t begin,
                    int64_t end, Segment* segments) {
  const int64_t each = p.weights.inputs / 2;
  const unsigned twice = p.doubles ? 1 : 0;
  const __m512i high = _mm512_set1_epi64(p.height << twice);
  const __m512i wide = _mm512_set1_epi64(p.width << twice);
  const __m512i row = _mm512_set1_epi64(p.width), pixel = _mm512_set1_epi64(2 * p.x_pixel);
  int64_t count = 0;
  for (int64_t tap = begin / each; tap * each < end; ++tap) {
    const int64_t first = tap * each > begin ? tap * each : begin;
    const int64_t last = (tap + 1) * each < end ? (tap + 1) * each : end;
    const __m512i y = _mm512_add_epi64(tile.tops, _mm512_set1_epi64(tap / p.weights.wide));
    const __m512i x = _mm512_add_epi64(tile.lefts, _mm512_set1_epi64(tap % p.weights.wide));
    // As unsigned numbers, negative ones are too large too.
    const __mmask8 there = _mm512_cmplt_epu64_mask(y, high) & _mm512_cmplt_epu64_mask(x, wide);
    const __m512i index = _mm512_add_epi64(_mm512_mullo_epi64(_mm512_srai_epi64(y, twice), row),
                                           _mm512_srai_epi64(x, twice));
    const __m512i from =
        _mm512_add_epi64(_mm512_add_epi64(tile.pictures, _mm512_mullo_epi64(index, pixel)),
                         _mm512_set1_epi64(4 * (first - tap * each)));
    Segment& segment = segments[count++];
    segment.pairs = last - first;
    _mm512_storeu_si512(segment.rows,
                        _mm512_mask_mov_epi64(_mm512_set1_epi64((int64_t)zeros), there, from));
  }
  return count;
}

// Asks for the lines of `count` numbers before they are needed. Always inlined, like its caller:
// gcc 12 drops a call of a function that does nothing but this.
template <class Number>
[[gnu::always_inline]] inline void ask_for(const Number* numbers, int64_t count) {
  constexpr int64_t kOfLine = 64 / sizeof(Number);
  for (int64_t i = 0; i < count; i += kOfLine) __builtin_prefetch(numbers + i);
}

// Asks for what a tile reads and writes besides inputs and weights, and, ahead of the first panel,
// for the inputs of the pixels a chunk later. Rows of different pixels are too short for the
// processor to foresee them.
[[gnu::always_inline]] inline void ask_for_tile(const ProductProblem& p, bool inputs, int64_t panel,
                                                int64_t width, int64_t pixel, int64_t count) {
  const bool geglu = p.weights.activation == ProductActivation::kGeglu;
  const int64_t output = panel * (geglu ? kPanel / 2 : kPanel), each = geglu ? width / 2 : width;
  for (int64_t i = pixel; i < pixel + count; ++i) {
    const int64_t from = i * p.residual_pixel + output, to = i * p.out_pixel + output;
    p.wide_out ? ask_for(p.wide_out + to, each) : ask_for(p.out + to, each);
    if (p.residual) ask_for(p.residual + from, each);
    if (p.wide_residual) ask_for(p.wide_residual + from, each);
  }
  if (!inputs || p.stride != 1 || p.doubles) return;
  const int64_t pixels = p.batch * p.height * p.width;
  for (int64_t i = pixel + kPixelChunk; i < pixel + kPixelChunk + count && i < pixels; ++i) {
    ask_for(p.x + i * p.x_pixel, p.weights.inputs);
  }
}

struct Work {
  alignas(64) float sums[kMostChunks * kPixelChunk * kPanel];
  alignas(64) uint16_t zeros[kMostPaddedInputs];
};

// The part of a panel's pairs that a visit takes.
struct Visit {
  int64_t panel, begin, end;
};

// Takes pixels [first, first + pixels) to a panel. `sums` holds those of all the pixels if they are
// visited again, otherwise of one tile.
void take(const ProductProblem& p, const ProductLayout& layout, const Visit& visit, int64_t first,
          int64_t pixels, bool first_panel, Work& work) {
  const int64_t width = layout.width(visit.panel);
  const uint16_t* weights = p.packed + layout.panel_begin(visit.panel) + visit.begin * width * 2;
  const bool all = visit.begin == 0 && visit.end == layout.pairs;
  Segment segments[kMostTaps + 1];
  Walk walk(p, first);
  for (int64_t pixel = 0; pixel < pixels; pixel += kPixelTile) {
    const int64_t there = pixels - pixel < kPixelTile ? pixels - pixel : kPixelTile;
    const int64_t count =
        segments_of(p, walk.take(there), work.zeros, visit.begin, visit.end, segments);
    float* sums = work.sums + (all ? 0 : pixel * kPanel);
    if (all) ask_for_tile(p, first_panel, visit.panel, width, first + pixel, there);
    multiply_panel(width, segments, count, weights, visit.begin > 0, sums);
    if (visit.end < layout.pairs) continue;
    for (int64_t i = 0; i < there; ++i) {
      finish(p, visit.panel, width, sums + i * kPanel, first + pixel + i);
    }
  }
}

void run_task(const ProductProblem& p, const ProductTasks& tasks, int64_t task, Work& work) {
  const ProductLayout layout(p.weights);
  const int64_t group = task / tasks.blocks * tasks.panels;
  const int64_t more = layout.panels - group;
  const int64_t panels = group + (more < tasks.panels ? more : tasks.panels);
  const int64_t first = task % tasks.blocks * tasks.pixels, left = p.out_pixels() - first;
  const int64_t pixels = left < tasks.pixels ? left : tasks.pixels;
  for (int64_t begin = 0; begin < layout.pairs && !tasks.one_visit; begin += kPairBlock) {
    const int64_t end = begin + kPairBlock < layout.pairs ? begin + kPairBlock : layout.pairs;
    take(p, layout, {group, begin, end}, first, pixels, true, work);
  }
  for (int64_t pixel = 0; pixel < pixels && tasks.one_visit; pixel += kPixelChunk) {
    const int64_t count = pixels - pixel < kPixelChunk ? pixels - pixel : kPixelChunk;
    for (int64_t panel = group; panel < panels; ++panel) {
      take(p, layout, {panel, 0, layout.pairs}, first + pixel, count, panel == group, work);
    }
  }
}

}  // namespace

void product_run(const ProductProblem& p, int64_t begin, int64_t end) {
  const ProductTasks tasks(p);
  Work work;
  __builtin_memset(work.zeros, 0, sizeof(uint16_t) * (size_t)p.weights.inputs);
  for (int64_t task = begin; task < end; ++task) run_task(p, tasks, task, work);
}

}  // namespace pangu::kernels::avx512_bf16
