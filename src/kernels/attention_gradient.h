// The gradient of attention (kernels/attention.h) over bf16 numbers, without ever holding the
// scores: each score is computed again, and the logarithm of its row's sum makes a weight of it
// (Dao 2023, "FlashAttention-2", algorithm 2). With weights w, the gradient g of the mix, and the
// mix o,
//   dv = w^T g,  ds = w * (g v^T - sum over the row of g o),  dq = scale ds k,  dk = scale ds^T q
// Products are of bf16 pairs and sums are f32; w and ds are rounded to bf16. It knows no tensor and
// starts no thread: the caller splits the work.
#pragma once
#include <cstdint>

#include "kernels/attention.h"

namespace pangu::kernels {

struct AttentionGradientProblem {
  AttentionProblem forward;         // out and log_sums are what attention_run wrote
  const uint16_t* d_out = nullptr;  // g, which lies as out does
  // Gradients of a query's numbers, in parts that the caller adds up, for a task takes a part of
  // the keys alone: [attention_gradient_parts][batch, queries, heads * width].
  float* dq = nullptr;
  uint16_t *dk = nullptr, *dv = nullptr;  // [batch, keys, heads * width]
};

// Whether there is a kernel of this level for the gradient, which every other function here takes
// to be so: the level multiplies pairs, the width is even, 256 at most, and nothing is empty.
bool attention_gradient_fits(const AttentionProblem& problem, Level level);

int64_t attention_gradient_parts(const AttentionProblem& problem);

// A task stands alone: the result does not depend on who does which, nor on how many do. Each takes
// `workspace` of so many bytes, aligned to 64, for itself.
int64_t attention_gradient_workspace(const AttentionProblem& problem);
int64_t attention_gradient_tasks(const AttentionProblem& problem);
void attention_gradient_run(const AttentionGradientProblem& problem, void* workspace, int64_t begin,
                            int64_t end);

// The definition, in f64: the gradients are not rounded. All lie as out does; each may be null. It
// reads neither out nor log_sums.
void plain_attention_gradient(const AttentionGradientProblem& problem, double* dq, double* dk,
                              double* dv);

}  // namespace pangu::kernels
