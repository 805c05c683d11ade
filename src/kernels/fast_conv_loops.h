// Fast convolutions by vectors V (vector_avx2.h, vector_avx512.h) and Products, which have
//   Segment                                                    rows[kPixelTile] and pairs of a tile
//   multiply_panel(width, segments, count, b, adds, sums)      sums[kPixelTile][kPanel] (+)= those
// Everything is in an anonymous namespace: see vector_avx2.h.
#pragma once
#include "kernels/fast_conv_layout.h"
#include "kernels/packed_product_loops.h"

namespace pangu::kernels {
namespace {

// The weights of the nine taps that make one of a part, each times a factor.
struct TapFactors {
  float factor[9] = {};

  TapFactors(FastConvForm form, int64_t part, int64_t tap) {
    if (form == FastConvForm::kPairs) {
      const float of[kParts][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
      for (int64_t column = 0; column < 3; ++column) factor[3 * tap + column] = of[part][column];
      return;
    }
    for (int64_t row = 0; row < 3; ++row) {
      for (int64_t column = 0; column < 3; ++column) {
        const bool meets =
            pixel_of(row, part / 2) == tap / 2 && pixel_of(column, part % 2) == tap % 2;
        factor[3 * row + column] = meets ? 1 : 0;
      }
    }
  }

 private:
  // Which of two pixels a tap meets, in the results of an even or an odd row or column.
  static int64_t pixel_of(int64_t tap, int64_t odd) { return tap + odd >= (odd ? 3 : 1) ? 1 : 0; }
};

// Writes the weights of one output for a tap of a part, pairs [inputs / 2] that are `width` pairs
// apart. from: the number of the output's first weight.
template <class V>
void pack_column(const FastConvNumbers& numbers, int64_t from, int64_t inputs,
                 const TapFactors& taps, int64_t width, uint16_t* to) {
  for (int64_t input = 0; input < inputs; input += V::kCount) {
    const auto lanes = V::first(inputs - input);
    typename V::Floats sum = V::zero();
    for (int64_t tap = 0; tap < 9; ++tap) {
      if (taps.factor[tap] == 0) continue;
      const int64_t at = from + tap * inputs + input;
      const auto weights = numbers.wide_numbers ? V::load(numbers.wide_numbers + at, lanes)
                                                : V::load_bf16(numbers.numbers + at, lanes);
      sum = V::fma(weights, V::all_of(taps.factor[tap]), sum);
    }
    alignas(64) uint16_t pairs[V::kCount];
    V::store_bf16(pairs, V::first(V::kCount), sum);
    for (int64_t i = 0; i < V::kCount && input + i < inputs; i += 2) {
      __builtin_memcpy(to + (input + i) * width, pairs + i, 4);
    }
  }
}

// Reads channels of a picture's pixels as their convolution takes them: so many vectors that they
// fill a line of bf16 numbers.
template <class V>
struct PixelReader {
  static constexpr int64_t kVectors = 32 / V::kCount;
  using Lanes = decltype(V::first(0));
  struct Channels {
    typename V::Floats v[kVectors];
  };

  const PairsInput& in;
  int64_t first;  // number of the first channel of the row's first pixel
  Lanes lanes[kVectors];
  typename V::Floats scale[kVectors], offset[kVectors];

  PixelReader(const PairsInput& input, int64_t picture, int64_t row, int64_t channel)
      : in(input), first((picture * in.height + row) * in.width * in.inputs + channel) {
    for (int64_t j = 0; j < kVectors; ++j) {
      const int64_t at = picture * in.inputs + channel + j * V::kCount;
      lanes[j] = V::first(in.inputs - channel - j * V::kCount);
      scale[j] = in.scale ? V::load(in.scale + at, lanes[j]) : V::all_of(1);
      offset[j] = in.scale ? V::load(in.offset + at, lanes[j]) : V::zero();
    }
  }

  // 0 beyond the row.
  [[gnu::always_inline]] Channels at(int64_t column) const {
    Channels c;
    for (int64_t j = 0; j < kVectors; ++j) {
      if (column >= in.width) {
        c.v[j] = V::zero();
        continue;
      }
      const int64_t from = first + column * in.inputs + j * V::kCount;
      const auto x =
          in.wide_x ? V::load(in.wide_x + from, lanes[j]) : V::load_bf16(in.x + from, lanes[j]);
      const auto y = V::fma(x, scale[j], offset[j]);
      c.v[j] = in.silu ? silu_of<V>(y) : y;
    }
    return c;
  }
};

template <class V>
void write_row(const PairsInput& in, int64_t picture, int64_t row, uint16_t* to) {
  using Reader = PixelReader<V>;
  for (int64_t channel = 0; channel < in.inputs; channel += Reader::kVectors * V::kCount) {
    const Reader pixels(in, picture, row, channel);
    typename Reader::Channels d0, d1 = pixels.at(0);
    for (auto& zeros : d0.v) zeros = V::zero();
    for (int64_t pair = 0; pair < in.columns(); ++pair) {
      const auto d2 = pixels.at(2 * pair + 1), d3 = pixels.at(2 * pair + 2);
      uint16_t* out = to + pair * kParts * in.inputs + channel;
      for (int64_t j = 0; j < Reader::kVectors; ++j, out += V::kCount) {
        V::store_bf16(out, pixels.lanes[j], V::sub(d0.v[j], d2.v[j]));
        V::store_bf16(out + in.inputs, pixels.lanes[j], V::add(d1.v[j], d2.v[j]));
        V::store_bf16(out + 2 * in.inputs, pixels.lanes[j], V::sub(d2.v[j], d1.v[j]));
        V::store_bf16(out + 3 * in.inputs, pixels.lanes[j], V::sub(d1.v[j], d3.v[j]));
      }
      d0 = d2, d1 = d3;
    }
  }
}

// The places of a tile, in the order of a block's rows.
struct Places {
  int64_t row[kPixelTile], column[kPixelTile];
  int64_t count;
};

inline Places places_of(const Block& block, int64_t first) {
  const int64_t left = block.places() - first;
  Places places;
  places.count = left < kPixelTile ? left : kPixelTile;
  int64_t row = first / block.columns, column = first % block.columns;
  for (int64_t i = 0; i < places.count; ++i) {
    places.row[i] = block.row + row, places.column[i] = block.column + column;
    if (++column == block.columns) column = 0, ++row;
  }
  return places;
}

// Where a place takes the inputs of a tap of a part from.
inline const uint16_t* inputs_of(const FastConvProblem& c, const Block& block, const Places& places,
                                 int64_t i, int64_t part, int64_t tap, const uint16_t* zeros) {
  const ProductProblem& p = c.product;
  if (c.weights.form == FastConvForm::kPairs) {
    const int64_t row = block.picture * (p.height + 2) + places.row[i] + tap;
    return p.x + ((row * c.columns() + places.column[i]) * kParts + part) * c.weights.inputs;
  }
  const int64_t row = places.row[i] - 1 + part / 2 + tap / 2;
  const int64_t column = places.column[i] - 1 + part % 2 + tap % 2;
  // As unsigned numbers, negative ones are too large too.
  const bool there = (uint64_t)row < (uint64_t)p.height && (uint64_t)column < (uint64_t)p.width;
  const int64_t pixel = (block.picture * p.height + row) * p.width + column;
  return there ? p.x + pixel * p.x_pixel : zeros;
}

// The number of results of a place in a row of results, and where the first of row `odd` is.
struct PlaceResults {
  int64_t first, count;

  PlaceResults(const FastConvProblem& c, const Block& block, int64_t row, int64_t column,
               int64_t odd) {
    const ProductProblem& p = c.product;
    const bool enlarged = c.weights.form == FastConvForm::kEnlarged;
    const int64_t wide = enlarged ? 2 * p.width : p.width;
    const int64_t out_row = block.picture * p.height + row;
    first = (enlarged ? 2 * out_row + odd : out_row) * wide + 2 * column;
    count = wide - 2 * column < 2 ? 1 : 2;
  }
};

struct Panel {
  int64_t number, width;
};

struct FastConvWork {
  alignas(64) float sums[kParts * kMostPlaces * kPanel];
  alignas(64) float results[kPanel];
  alignas(64) uint16_t zeros[2 * kStepBlock];
};

// Asks for what the results of a tile are added to and written to.
[[gnu::always_inline]] inline void ask_for_places(const FastConvProblem& c, const Block& block,
                                                  const Panel& panel, const Places& places) {
  const int64_t rows = c.weights.form == FastConvForm::kEnlarged ? 2 : 1;
  for (int64_t i = 0; i < places.count; ++i) {
    for (int64_t odd = 0; odd < rows; ++odd) {
      const PlaceResults results(c, block, places.row[i], places.column[i], odd);
      ask_for_results(c.product, panel.number, panel.width, results.first, results.count);
    }
  }
}

// sums[part][places][kPanel] of places [first, first + count) of a block.
template <class Products>
void add_products(const FastConvProblem& c, const Block& block, int64_t taps, const Panel& panel,
                  int64_t first, int64_t count, FastConvWork& work) {
  const FastConvLayout layout(c.weights);
  for (int64_t part = 0; part < kParts; ++part) {
    for (int64_t tap = 0; tap < c.weights.taps(); tap += taps) {
      const uint16_t* weights = c.product.packed + layout.begin(panel.number, part, tap);
      for (int64_t place = 0; place < count; place += kPixelTile) {
        const Places places = places_of(block, first + place);
        typename Products::Segment segments[4];
        for (int64_t t = 0; t < taps; ++t) {
          segments[t].pairs = layout.tap_pairs;
          for (int64_t i = 0; i < kPixelTile; ++i) {
            segments[t].rows[i] = i < places.count
                                      ? inputs_of(c, block, places, i, part, tap + t, work.zeros)
                                      : work.zeros;
          }
        }
        if (part == kParts - 1 && tap == 0) ask_for_places(c, block, panel, places);
        float* sums = work.sums + (part * kMostPlaces + place) * kPanel;
        Products::multiply_panel(panel.width, segments, taps, weights, tap > 0, sums);
      }
    }
  }
}

constexpr int64_t kPartSums = kMostPlaces * kPanel;

// The sums of a place's first or second result in a row, of kPairs.
template <class V>
void combine(const float* sums, int64_t width, bool second, float* results) {
  for (int64_t j = 0; j < width; j += V::kCount) {
    const auto one = V::load(sums + kPartSums + j), two = V::load(sums + 2 * kPartSums + j);
    V::store(results + j, second ? V::sub(V::sub(one, two), V::load(sums + 3 * kPartSums + j))
                                 : V::add(V::load(sums + j), V::add(one, two)));
  }
}

template <class V>
void write_results(const FastConvProblem& c, const Block& block, const Panel& panel, int64_t first,
                   int64_t count, FastConvWork& work) {
  for (int64_t place = 0; place < count; place += kPixelTile) {
    const Places places = places_of(block, first + place);
    for (int64_t i = 0; i < places.count; ++i) {
      const float* sums = work.sums + (place + i) * kPanel;
      const auto write = [&](const float* complete, int64_t pixel) {
        finish<V>(c.product, panel.number, panel.width, complete, nullptr, pixel);
      };
      if (c.weights.form == FastConvForm::kEnlarged) {
        for (int64_t part = 0; part < kParts; ++part) {
          const PlaceResults results(c, block, places.row[i], places.column[i], part / 2);
          write(sums + part * kPartSums, results.first + part % 2);
        }
        continue;
      }
      const PlaceResults results(c, block, places.row[i], places.column[i], 0);
      for (int64_t second = 0; second < results.count; ++second) {
        combine<V>(sums, panel.width, second != 0, work.results);
        write(work.results, results.first + second);
      }
    }
  }
}

// pack(taps, width, to) for every tap of every part of a panel.
template <class Pack>
void for_each_tap(const FastConvWeights& w, int64_t panel, uint16_t* packed, const Pack& pack) {
  const FastConvLayout layout(w);
  for (int64_t place = 0; place < kParts * w.taps(); ++place) {
    const int64_t part = place / w.taps(), tap = place % w.taps();
    pack(TapFactors(w.form, part, tap), layout.width(panel),
         packed + layout.begin(panel, part, tap));
  }
}

template <class V>
void pack_fast_conv(const FastConvWeights& w, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed) {
  const int64_t tap_pairs = FastConvLayout(w).tap_pairs;
  for_each_tap(w, panel, packed, [&](const TapFactors& taps, int64_t width, uint16_t* to) {
    for (int64_t column = 0; column < width; ++column) {
      const int64_t output = panel * kPanel + column;
      if (output < w.outputs) {
        pack_column<V>(numbers, output * 9 * w.inputs, w.inputs, taps, width, to + 2 * column);
      } else {
        for (int64_t k = 0; k < tap_pairs; ++k) {
          __builtin_memset(to + 2 * (k * width + column), 0, 4);
        }
      }
    }
  });
}

template <class V>
void write_pairs_of(const PairsInput& in, int64_t begin, int64_t end) {
  const int64_t numbers = in.columns() * kParts * in.inputs;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t picture = task / (in.rows + 2), row = in.first_row - 1 + task % (in.rows + 2);
    uint16_t* to = in.pairs + task * numbers;
    if (row < 0 || row >= in.height) {
      __builtin_memset(to, 0, (size_t)numbers * sizeof *to);
    } else {
      write_row<V>(in, picture, row, to);
    }
  }
}

template <class V, class Products>
void run_fast_conv(const FastConvProblem& c, int64_t begin, int64_t end) {
  const FastConvLayout layout(c.weights);
  const FastConvTasks tasks(c);
  FastConvWork work;
  __builtin_memset(work.zeros, 0, sizeof work.zeros);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t group = task / tasks.blocks * tasks.panels, left = layout.panels - group;
    const Block block = tasks.block(c, task % tasks.blocks);
    for (int64_t place = 0; place < block.places(); place += tasks.chunk) {
      const int64_t more = block.places() - place, count = more < tasks.chunk ? more : tasks.chunk;
      for (int64_t i = 0; i < tasks.panels && i < left; ++i) {
        const Panel panel{group + i, layout.width(group + i)};
        add_products<Products>(c, block, tasks.taps, panel, place, count, work);
        write_results<V>(c, block, panel, place, count, work);
      }
    }
  }
}

}  // namespace
}  // namespace pangu::kernels
