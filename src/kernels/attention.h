// Attention over bf16 numbers: softmax(scale q k^T + bias) v of each head, without ever holding the
// scores (Rabe and Staats 2021; Dao et al. 2022: the running maximum and sum of a row correct what
// was summed before). Products are of bf16 pairs and sums are f32; the weights of the mix are
// rounded to bf16. It knows no tensor and starts no thread: the caller splits the work.
#pragma once
#include <cstdint>

#include "kernels/level.h"

namespace pangu::kernels {

// Strides are in numbers. The numbers of a head lie side by side, head after head in a row.
struct AttentionProblem {
  int64_t batch = 0, heads = 0, queries = 0, keys = 0;
  int64_t width = 0;  // of a head, even
  const uint16_t *q = nullptr, *k = nullptr, *v = nullptr;
  int64_t q_batch = 0, q_row = 0;  // from one entry of the batch to the next, and from row to row
  int64_t k_batch = 0, k_row = 0;
  int64_t v_batch = 0, v_row = 0;
  const float* bias = nullptr;  // [batch, keys], added to the scores; null: none
  float scale = 1;
  uint16_t* out = nullptr;  // [batch, queries, heads * width]
  // [batch, heads, queries]: the binary logarithm of the sum of exp(score) over the keys, +inf
  // where no key counts; null: not wanted. The gradient (attention_gradient.h) reads it.
  float* log_sums = nullptr;
};

// Whether there is a kernel of this level for the problem, which every other function here takes to
// be so: the width is even, 512 at most, and there is a key.
bool attention_fits(const AttentionProblem& problem, Level level);

// Keys and values are packed first, all of them before any query. A task stands alone: the result
// does not depend on who does which, nor on how many do.
//   std::vector<uint16_t> packed(attention_packed_size(p, level));
//   attention_pack(p, packed, 0, attention_pack_tasks(p), level);        // in any split of the
//   tasks attention_run(p, packed, 0, attention_run_tasks(p, level), level);  // likewise, when all
//   are packed
// `packed` is aligned to 64 bytes.
int64_t attention_packed_size(const AttentionProblem& problem, Level level);
int64_t attention_pack_tasks(const AttentionProblem& problem);
void attention_pack(const AttentionProblem& problem, uint16_t* packed, int64_t begin, int64_t end,
                    Level level);
int64_t attention_run_tasks(const AttentionProblem& problem, Level level);
void attention_run(const AttentionProblem& problem, const uint16_t* packed, int64_t begin,
                   int64_t end, Level level);

// The definition, one row of scores at a time, in f32. The results, which lie as `out` does, are
// not rounded.
void plain_attention(const AttentionProblem& problem, float* results);

}  // namespace pangu::kernels
