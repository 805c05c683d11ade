// Packs attention's keys and values as tiles. It uses AVX-512 alone, and is compiled for such
// processors whatever the rest is compiled for (CMakeLists.txt).
#include "kernels/attention_softmax.h"
#include "kernels/tiles.h"

namespace pangu::kernels::amx {
namespace {

// Rows of 32 numbers, of 16 keys each.
void pack_key_tiles(const uint16_t* from, int64_t row, int64_t keys, int64_t width,
                    const AttentionLayout& layout, uint16_t* to) {
  for (int64_t key = 0; key < layout.padded_keys; ++key) {
    uint16_t* panel = to + key / kTileRows * kTileRows * layout.key_numbers;
    for (int64_t first = 0; first < layout.key_numbers; first += kTileNumbers) {
      const __mmask16 lanes = Avx512::first(key < keys ? (width - first) / 2 : 0);
      _mm512_store_si512(
          panel + (first / kTileNumbers * kTileRows + key % kTileRows) * kTileNumbers,
          _mm512_maskz_loadu_epi32(lanes, from + key * row + first));
    }
  }
}

// Two keys of sixteen columns at most, a lane a column.
inline __m512i value_pairs(const uint16_t* low, int64_t row, int64_t keys, __mmask16 lanes) {
  if (keys < 1) return _mm512_setzero_si512();
  const __m512i first = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, low));
  if (keys < 2) return first;
  const __m512i second = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, low + row));
  return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}

// Rows of 32 keys, of 16 columns each.
void pack_value_tiles(const uint16_t* from, int64_t row, int64_t keys, int64_t width,
                      const AttentionLayout& layout, uint16_t* to) {
  for (int64_t column = 0; column < layout.padded_width; column += kTileRows) {
    const __mmask16 lanes = Avx512::first(width - column);
    for (int64_t key = 0; key < layout.padded_keys; key += kTileNumbers) {
      __m512i r[16];
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t at = key + 2 * i;
        r[i] = value_pairs(from + (at < keys ? at : 0) * row + column, row, keys - at, lanes);
      }
      transpose(r);
      for (int64_t i = 0; i < 16; ++i) _mm512_store_si512(to + i * kTileNumbers, r[i]);
      to += kTileRows * kTileNumbers;
    }
  }
}

}  // namespace

void pack(const AttentionProblem& p, uint16_t* packed, int64_t begin, int64_t end) {
  const AttentionLayout layout = attention_layout(p, kForm);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / p.heads, h = task % p.heads;
    uint16_t* head = packed + task * layout.head;
    pack_key_tiles(p.k + b * p.k_batch + h * p.width, p.k_row, p.keys, p.width, layout, head);
    pack_value_tiles(p.v + b * p.v_batch + h * p.width, p.v_row, p.keys, p.width, layout,
                     head + layout.values);
  }
}

}  // namespace pangu::kernels::amx
