// How attention's packed keys and values lie, and how its work is cut. One definition for all who
// read or write them.
#pragma once
#include "kernels/attention.h"

namespace pangu::kernels {

inline constexpr int64_t kLanes = 16;       // f32 numbers of a vector
inline constexpr int64_t kKeyBlock = 512;   // keys between two corrections of the running sums
inline constexpr int64_t kRowTile = 6;      // queries that one tile of scores holds
inline constexpr int64_t kMostWidth = 512;  // of a head
inline constexpr int64_t kNarrowWidth = 160;
inline constexpr int64_t kNarrowQueries = 96, kWideQueries = 24;  // of a task

constexpr int64_t round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Of one head of one entry of the batch, in numbers:
//   keys   [panels of 16 keys][width / 2][16 keys][2], a pair being two numbers of one key
//   values [panels of 16 columns][key pairs][16 columns][2], a pair being two keys of one column
// What lies beyond the last key or column is 0.
struct AttentionLayout {
  int64_t width;
  int64_t padded_width, padded_keys;  // in whole panels
  int64_t values;                     // where they begin, behind the keys
  int64_t head;                       // numbers of a head
  int64_t queries;                    // of a task

  explicit AttentionLayout(const AttentionProblem& p)
      : width(p.width),
        padded_width(round_up(p.width, kLanes)),
        padded_keys(round_up(p.keys, kLanes)),
        values(round_up(padded_keys * width, 2 * kLanes)),
        head(values + padded_width * padded_keys),
        queries(width <= kNarrowWidth ? kNarrowQueries : kWideQueries) {}

  int64_t key_panel() const { return kLanes * width; }
  int64_t value_panel() const { return kLanes * padded_keys; }
};

// The instructions of one level, for tasks [begin, end) of attention_pack and attention_run.
namespace avx512_bf16 {
void pack(const AttentionProblem& problem, uint16_t* packed, int64_t begin, int64_t end);
void run(const AttentionProblem& problem, const uint16_t* packed, int64_t begin, int64_t end);
}  // namespace avx512_bf16

}  // namespace pangu::kernels
