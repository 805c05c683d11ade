// Which level's kernel serves which shape, or none: then libtorch does. The table beside it
// (serving_table.inc) was measured by bench/tune on a processor of each level; nothing is timed
// when the program runs.
#pragma once
#include "kernels/attention.h"
#include "kernels/packed_product.h"

namespace pangu::kernels {

// What is served.
enum class Served {
  kAttention,
  kAttentionGradient,  // and the attention that it is of
  kProduct,            // in bf16
  kRoundedProduct,     // of weights in f32, rounded to bf16: otherwise it is computed in f32
};

// The level for the problem on this machine, kPlain if libtorch serves it. A level that
// PANGU_KERNELS asks for serves everything.
Level attention_level(const AttentionProblem& problem);
Level attention_gradient_level(const AttentionProblem& problem);
Level product_level(const ProductWeights& weights, Served served);

// A row of the table. The first that a shape is not above serves it.
struct ServingRow {
  Level machine;
  Served served;
  int64_t most_numbers;  // of a head, or inputs of a product
  int64_t most_rows;     // keys, or taps
  Level level;
  double ratio;  // libtorch's time by ours when it was measured; 0: it has not been
};
// The level of a shape on a machine, as the table says.
Level level_in_table(Level machine, Served served, int64_t numbers, int64_t rows);

}  // namespace pangu::kernels
