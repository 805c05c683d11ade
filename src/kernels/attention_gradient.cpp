#include "kernels/attention_gradient.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention_gradient_layout.h"
#include "kernels/bf16.h"

namespace pangu::kernels {
namespace {

double dot(const uint16_t* a, const uint16_t* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{from_bf16(a[i])} * from_bf16(b[i]);
  return sum;
}

void add_times(double factor, const uint16_t* x, int64_t count, double* sums) {
  if (!sums) return;
  for (int64_t i = 0; i < count; ++i) sums[i] += factor * from_bf16(x[i]);
}

double* at_or_null(double* numbers, int64_t offset) { return numbers ? numbers + offset : nullptr; }

// The weights of one query, in `weights`.
void softmax(std::vector<double>& weights) {
  double most = -std::numeric_limits<double>::infinity(), total = 0;
  for (const double score : weights) most = std::max(most, score);
  if (most == -std::numeric_limits<double>::infinity()) most = 0;  // no key counts
  for (double& score : weights) total += score = std::exp(score - most);
  for (double& weight : weights) weight = total > 0 ? weight / total : total;
}

}  // namespace

bool attention_gradient_fits(const AttentionProblem& p, Level level) {
  return has_pair_products(level) && attention_fits(p, level) && p.width <= kMostGradientWidth &&
         p.batch > 0 && p.heads > 0 && p.queries > 0;
}

int64_t attention_gradient_parts(const AttentionProblem& p) { return gradient_layout(p).parts; }

int64_t attention_gradient_workspace(const AttentionProblem& p) { return gradient_layout(p).size; }

int64_t attention_gradient_tasks(const AttentionProblem& p) {
  return p.batch * p.heads * gradient_layout(p).parts;
}

void attention_gradient_run(const AttentionGradientProblem& problem, void* workspace, int64_t begin,
                            int64_t end) {
  avx512_bf16::gradient(problem, workspace, begin, end);
}

void plain_attention_gradient(const AttentionGradientProblem& problem, double* dq, double* dk,
                              double* dv) {
  const AttentionProblem& p = problem.forward;
  const int64_t row = p.heads * p.width;
  if (dq) std::fill_n(dq, p.batch * p.queries * row, 0.0);
  if (dk) std::fill_n(dk, p.batch * p.keys * row, 0.0);
  if (dv) std::fill_n(dv, p.batch * p.keys * row, 0.0);
  std::vector<double> weights(static_cast<size_t>(p.keys)), mixes(weights);
  for (int64_t n = 0; n < p.batch * p.heads * p.queries; ++n) {
    const int64_t b = n / p.queries / p.heads, h = n / p.queries % p.heads, i = n % p.queries;
    const int64_t head = h * p.width, query = (b * p.queries + i) * row + head;
    const uint16_t *q = p.q + b * p.q_batch + i * p.q_row + head, *g = problem.d_out + query;
    const auto key_of = [&](int64_t j) { return p.k + b * p.k_batch + j * p.k_row + head; };
    for (int64_t j = 0; j < p.keys; ++j) {
      const double bias = p.bias ? p.bias[b * p.keys + j] : 0;
      weights[size_t(j)] = dot(q, key_of(j), p.width) * p.scale + bias;
    }
    softmax(weights);
    double mean = 0;
    for (int64_t j = 0; j < p.keys; ++j) {
      mixes[size_t(j)] = dot(g, p.v + b * p.v_batch + j * p.v_row + head, p.width);
      mean += weights[size_t(j)] * mixes[size_t(j)];
    }
    for (int64_t j = 0; j < p.keys; ++j) {
      const int64_t key = (b * p.keys + j) * row + head;
      const double ds = weights[size_t(j)] * (mixes[size_t(j)] - mean) * p.scale;
      add_times(weights[size_t(j)], g, p.width, at_or_null(dv, key));
      add_times(ds, q, p.width, at_or_null(dk, key));
      add_times(ds, key_of(j), p.width, at_or_null(dq, query));
    }
  }
}

}  // namespace pangu::kernels
