// How the work of attention's gradient is cut, and what lies in a task's workspace. Its functions
// are static: see attention_layout.h.
#pragma once
#include "kernels/attention_gradient.h"
#include "kernels/attention_layout.h"

namespace pangu::kernels {

inline constexpr int64_t kMostGradientWidth = 256;
inline constexpr int64_t kGradientKeys = 128;  // whose weights are kept for one product

// Offsets are in bytes.
struct GradientLayout {
  int64_t parts, part_keys;     // of the keys of a head, each a task; keys of one
  int64_t padded_keys;          // of a part
  int64_t padded_width, lanes;  // of a head: whole panels, whole vectors
  int64_t keys, values;         // packed as attention packs keys: [panels of keys][width / 2][8][2]
  int64_t columns;              // keys packed as values: [panels of columns][key pairs][8][2]
  int64_t dk, dv;               // sums: [padded keys][lanes] of f32
  int64_t bias;                 // [padded keys] of f32
  int64_t size;
};

static inline GradientLayout gradient_layout(const AttentionProblem& p) {
  // Enough tasks for many threads, each long enough to be worth its own copy of the queries.
  constexpr int64_t kTasks = 16, kLeastKeys = 4 * kGradientKeys;
  GradientLayout layout;
  const int64_t heads = p.batch * p.heads, most = (p.keys + kLeastKeys - 1) / kLeastKeys;
  const int64_t wanted = (kTasks + heads - 1) / heads;
  const int64_t parts = wanted < most ? wanted : most;
  layout.part_keys = round_up((p.keys + parts - 1) / parts, kGradientKeys);
  layout.parts = (p.keys + layout.part_keys - 1) / layout.part_keys;
  const int64_t longest = p.keys < layout.part_keys ? p.keys : layout.part_keys;
  layout.padded_keys = round_up(longest, 8);
  layout.padded_width = round_up(p.width, 8);
  layout.lanes = round_up(p.width, kLanes);
  layout.size = 0;
  const auto take = [&layout](int64_t bytes) {
    const int64_t at = layout.size;
    layout.size += round_up(bytes, 64);
    return at;
  };
  layout.keys = take(2 * layout.padded_keys * p.width);
  layout.values = take(2 * layout.padded_keys * p.width);
  layout.columns = take(2 * layout.padded_keys * layout.padded_width);
  layout.dk = take(4 * layout.padded_keys * layout.lanes);
  layout.dv = take(4 * layout.padded_keys * layout.lanes);
  layout.bias = take(4 * layout.padded_keys);
  return layout;
}

namespace avx512_bf16 {
void gradient(const AttentionGradientProblem& problem, void* workspace, int64_t begin, int64_t end);
}  // namespace avx512_bf16

}  // namespace pangu::kernels
