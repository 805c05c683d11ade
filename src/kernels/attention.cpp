#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention_layout.h"
#include "kernels/bf16.h"

namespace pangu::kernels {
namespace {

// One row: every score, their softmax, and the mix of the values.
void plain_row(const AttentionProblem& p, int64_t b, int64_t h, int64_t row,
               std::vector<float>& scores, float* results) {
  const uint16_t* q = p.q + b * p.q_batch + row * p.q_row + h * p.width;
  float most = -std::numeric_limits<float>::infinity();
  for (int64_t key = 0; key < p.keys; ++key) {
    const uint16_t* k = p.k + b * p.k_batch + key * p.k_row + h * p.width;
    double sum = 0;
    for (int64_t i = 0; i < p.width; ++i) sum += double{from_bf16(q[i])} * from_bf16(k[i]);
    scores[size_t(key)] = float(sum) * p.scale + (p.bias ? p.bias[b * p.keys + key] : 0.0f);
    most = std::max(most, scores[size_t(key)]);
  }
  if (most == -std::numeric_limits<float>::infinity()) most = 0;  // no key counts
  double total = 0;
  for (float& score : scores) total += score = std::exp(score - most);
  float* out = results + ((b * p.queries + row) * p.heads + h) * p.width;
  for (int64_t i = 0; i < p.width; ++i) {
    double sum = 0;
    for (int64_t key = 0; key < p.keys; ++key) {
      sum += double{scores[size_t(key)]} *
             from_bf16(p.v[b * p.v_batch + key * p.v_row + h * p.width + i]);
    }
    out[i] = total > 0 ? float(sum / total) : float(total);
  }
}

AttentionLayout layout_at(const AttentionProblem& p, Level level) {
  switch (level) {
    case Level::kAvx2:
    case Level::kAvx512:
      return attention_layout(p, f32::kForm);
    case Level::kAvx512Bf16:
      return attention_layout(p, avx512_bf16::kForm);
    default:
      return attention_layout(p, amx::kForm);
  }
}

}  // namespace

bool attention_fits(const AttentionProblem& p, Level level) {
  return level != Level::kPlain && p.keys > 0 && p.width > 0 && p.width % 2 == 0 &&
         p.width <= kMostWidth && p.scale > 0;
}

int64_t attention_packed_size(const AttentionProblem& p, Level level) {
  return p.batch * p.heads * layout_at(p, level).head;
}

int64_t attention_pack_tasks(const AttentionProblem& p) { return p.batch * p.heads; }

void attention_pack(const AttentionProblem& p, uint16_t* packed, int64_t begin, int64_t end,
                    Level level) {
  switch (level) {
    case Level::kPlain:
      return;
    case Level::kAvx2:
      return avx2::pack(p, packed, begin, end);
    case Level::kAvx512:
      return avx512::pack(p, packed, begin, end);
    case Level::kAvx512Bf16:
      return avx512_bf16::pack(p, packed, begin, end);
    default:
      return amx::pack(p, packed, begin, end);
  }
}

int64_t attention_run_tasks(const AttentionProblem& p, Level level) {
  return p.batch * p.heads * layout_at(p, level).tasks;
}

void attention_run(const AttentionProblem& p, const uint16_t* packed, int64_t begin, int64_t end,
                   Level level) {
  switch (level) {
    case Level::kPlain:
      return;
    case Level::kAvx2:
      return avx2::run(p, packed, begin, end);
    case Level::kAvx512:
      return avx512::run(p, packed, begin, end);
    case Level::kAvx512Bf16:
      return avx512_bf16::run(p, packed, begin, end);
    case Level::kAmxEmulated:
      return amx::run_emulated(p, packed, begin, end);
    case Level::kAmx:
      return amx::run(p, packed, begin, end);
  }
}

void plain_attention(const AttentionProblem& p, float* results) {
  std::vector<float> scores(static_cast<size_t>(p.keys));
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t h = 0; h < p.heads; ++h) {
      for (int64_t row = 0; row < p.queries; ++row) plain_row(p, b, h, row, scores, results);
    }
  }
}

}  // namespace pangu::kernels
