// The tile registers of AMX (Intel SDM, volume 1, chapter 18), as the kernels use them: eight tiles
// of 16 rows of 64 bytes. Both kinds have the same five operations; the file that includes this
// says which it computes with. Everything here has internal linkage: see attention_softmax.h.
//   zero<t>(), load<t>(from, row), store<t>(to, row): rows are `row` bytes apart
//   dot<c, a, b>(): c[i][n] += sum over k of a[i][2 k] b[k][2 n] + a[i][2 k + 1] b[k][2 n + 1], for
//   a [16][32] and b [16][32] of bf16, c [16][16] of f32
#pragma once
#include <cstdint>

namespace pangu::kernels {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileNumbers = 32;  // of bf16, in a row

// The instructions. They are written as assembly, for gcc's intrinsics take no template's number,
// and those that load do not say that they read memory.
class Tiles {
 public:
  // Other libraries of the process use the tiles too: their configuration is put back.
  Tiles() {
    __asm__ volatile("sttilecfg %0" : "=m"(before_));
    Configuration ours = {};
    ours.palette = 1;
    for (int i = 0; i < 8; ++i) ours.row_bytes[i] = 64, ours.rows[i] = kTileRows;
    __asm__ volatile("ldtilecfg %0" : : "m"(ours));
  }
  ~Tiles() {
    if (before_.palette == 0) {
      __asm__ volatile("tilerelease");
    } else {
      __asm__ volatile("ldtilecfg %0" : : "m"(before_));
    }
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int kTile>
  void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  void load(const void* from, int64_t row) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                     :
                     : "r"(from), "r"(row), "i"(kTile)
                     : "memory");
  }
  template <int kTile>
  void store(void* to, int64_t row) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(row), "i"(kTile) : "memory");
  }
  template <int kC, int kA, int kB>
  void dot() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }

 private:
  struct alignas(64) Configuration {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Configuration) == 64);
  Configuration before_;
};

// The same written out: products and sums in f32, in the order of the instruction.
class PlainTiles {
 public:
  template <int kTile>
  void zero() {
    __builtin_memset(tiles_[kTile], 0, sizeof tiles_[kTile]);
  }
  template <int kTile>
  void load(const void* from, int64_t row) {
    for (int64_t i = 0; i < kTileRows; ++i) {
      __builtin_memcpy(tiles_[kTile][i], static_cast<const char*>(from) + i * row, 64);
    }
  }
  template <int kTile>
  void store(void* to, int64_t row) {
    for (int64_t i = 0; i < kTileRows; ++i) {
      __builtin_memcpy(static_cast<char*>(to) + i * row, tiles_[kTile][i], 64);
    }
  }
  template <int kC, int kA, int kB>
  void dot() {
    for (int64_t i = 0; i < kTileRows; ++i) {
      float* c = tiles_[kC][i];
      for (int64_t k = 0; k < kTileNumbers / 2; ++k) {
        for (int64_t n = 0; n < 16; ++n) {
          c[n] += number<kA>(i, 2 * k) * number<kB>(k, 2 * n);
          c[n] += number<kA>(i, 2 * k + 1) * number<kB>(k, 2 * n + 1);
        }
      }
    }
  }

 private:
  template <int kTile>
  float number(int64_t row, int64_t at) const {
    uint16_t bits;
    __builtin_memcpy(&bits, reinterpret_cast<const char*>(tiles_[kTile][row]) + 2 * at, 2);
    return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
  }
  float tiles_[8][kTileRows][16];
};

}  // namespace
}  // namespace pangu::kernels
