// How attention's packed keys and values lie, and how its work is cut. One definition for all who
// read or write them. Its functions are static: files that are compiled for one kind of processor
// include them, and no copy made there may serve the rest of the program.
#pragma once
#include "kernels/attention.h"

namespace pangu::kernels {

inline constexpr int64_t kLanes = 16;       // queries of a vector
inline constexpr int64_t kMostVectors = 3;  // vectors of queries beside each other: a task
inline constexpr int64_t kMostQueries = kMostVectors * kLanes;
inline constexpr int64_t kKeyBlock = 256;   // keys whose weights are kept for one product
inline constexpr int64_t kKeyStep = 32;     // keys of a tile: as many scores are kept at most
inline constexpr int64_t kMostWidth = 512;  // of a head

// What a level multiplies at once.
struct AttentionForm {
  int64_t rows;     // of a panel of the left factor
  int64_t keys;     // a multiple of which is packed
  int64_t numbers;  // of a key, a multiple of which is packed
  int64_t vectors;  // of queries
};

// Scores and sums are computed as their transposes, one query a lane: K Q^T and V^T P^T. Keys and
// columns of the values are the rows of the left factors, which lie in panels of `rows`, the keys
// before the values. What lies beyond the last key, number or column is 0. For one head of one
// entry of the batch, in numbers:
//   avx512_bf16: [panels of keys][width / 2][8 keys][2], a pair being two numbers of one key, and
//                [panels of columns][key pairs][8 columns][2], a pair being two keys of one column
//   f32 (avx2, avx512): the right factors, [panels of keys][width / 2][16 keys][2], and
//                [panels of columns][key pairs][16 columns][2]
//   amx: tiles,  [panels of keys][width / 32][16 keys][32 numbers], and
//                [panels of columns][keys / 32][16 columns][32 keys]
struct AttentionLayout {
  int64_t key_numbers, padded_width, padded_keys;  // what is packed
  int64_t values;                                  // where they begin, behind the keys
  int64_t head;                                    // numbers of a head
  int64_t queries, tasks;                          // of a task, and tasks of a head
};

static inline int64_t round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Of AttentionProblem::log_sums: weights that add up to `total` are powers of 2 of scores less
// `origin`.
static inline float log_sum(float origin, float total) {
  return total == 0 ? __builtin_inff() : origin + __builtin_log2f(total);
}

static inline AttentionLayout attention_layout(const AttentionProblem& p,
                                               const AttentionForm& form) {
  AttentionLayout layout;
  layout.key_numbers = round_up(p.width, form.numbers);
  layout.padded_width = round_up(p.width, form.rows);
  layout.padded_keys = round_up(p.keys, form.keys);
  layout.values = round_up(layout.padded_keys * layout.key_numbers, 32);
  layout.head = round_up(layout.values + layout.padded_width * layout.padded_keys, 32);
  const int64_t vectors = (p.queries + kLanes - 1) / kLanes;
  const int64_t tasks = (vectors + form.vectors - 1) / form.vectors;
  layout.queries = tasks > 0 ? (vectors + tasks - 1) / tasks * kLanes : kLanes;
  layout.tasks = (p.queries + layout.queries - 1) / layout.queries;
  return layout;
}

// The instructions of one level, for tasks [begin, end) of attention_pack and attention_run.
namespace f32 {
inline constexpr AttentionForm kForm{.rows = 16, .keys = 16, .numbers = 2, .vectors = 3};
}  // namespace f32
namespace avx2 {
void pack(const AttentionProblem& problem, uint16_t* packed, int64_t begin, int64_t end);
void run(const AttentionProblem& problem, const uint16_t* packed, int64_t begin, int64_t end);
}  // namespace avx2
namespace avx512 {
void pack(const AttentionProblem& problem, uint16_t* packed, int64_t begin, int64_t end);
void run(const AttentionProblem& problem, const uint16_t* packed, int64_t begin, int64_t end);
}  // namespace avx512
namespace avx512_bf16 {
inline constexpr AttentionForm kForm{.rows = 8, .keys = 8, .numbers = 2, .vectors = 3};
void pack(const AttentionProblem& problem, uint16_t* packed, int64_t begin, int64_t end);
void run(const AttentionProblem& problem, const uint16_t* packed, int64_t begin, int64_t end);
}  // namespace avx512_bf16
namespace amx {
inline constexpr AttentionForm kForm{.rows = 16, .keys = 32, .numbers = 32, .vectors = 2};
void pack(const AttentionProblem& problem, uint16_t* packed, int64_t begin, int64_t end);
void run(const AttentionProblem& problem, const uint16_t* packed, int64_t begin, int64_t end);
void run_emulated(const AttentionProblem& problem, const uint16_t* packed, int64_t begin,
                  int64_t end);
}  // namespace amx

}  // namespace pangu::kernels
