// Problems of attention for the tests of its kernels and of their gradients.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/attention.h"
#include "kernels/bf16.h"
#include "kernels/testing.h"

namespace pangu::kernels {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Normal numbers; rows are further apart than they are long, as slices of a wider tensor are.
struct AttentionCase {
  AttentionProblem p;
  std::vector<uint16_t> q, k, v, out;
  std::vector<float> bias;

  AttentionCase(int64_t batch, int64_t heads, int64_t queries, int64_t keys, int64_t width,
                float deviation = 1) {
    std::mt19937 random(static_cast<unsigned>(queries * 31 + keys));
    std::normal_distribution<float> normal(0, deviation);
    const int64_t row = heads * width + 6;
    const auto fill = [&](std::vector<uint16_t>& numbers, int64_t rows) {
      numbers.resize(static_cast<size_t>(batch * rows * row));
      for (uint16_t& number : numbers) number = to_bf16(normal(random));
      return numbers.data();
    };
    p.batch = batch, p.heads = heads, p.queries = queries, p.keys = keys, p.width = width;
    p.q = fill(q, queries), p.k = fill(k, keys), p.v = fill(v, keys);
    p.q_row = p.k_row = p.v_row = row;
    p.q_batch = queries * row, p.k_batch = p.v_batch = keys * row;
    p.scale = 1 / std::sqrt(static_cast<float>(width));
    out.resize(static_cast<size_t>(batch * queries * heads * width));
    p.out = out.data();
  }

  // Every third key but the first does not count, the others do by as much as they like.
  void add_bias() {
    for (int64_t i = 0; i < p.batch * p.keys; ++i) {
      bias.push_back(i % p.keys % 3 == 2 ? -kInfinity : 0.1f * static_cast<float>(i % 7));
    }
    p.bias = bias.data();
  }

  std::vector<uint16_t> by_kernel(Level level, bool task_by_task = false) {
    std::fill(out.begin(), out.end(), uint16_t{0x7fc0});
    const auto packed = aligned_numbers<uint16_t>(attention_packed_size(p, level));
    const int64_t packs = attention_pack_tasks(p), runs = attention_run_tasks(p, level);
    if (task_by_task) {
      for (int64_t i = packs; i-- > 0;) attention_pack(p, packed.get(), i, i + 1, level);
      for (int64_t i = runs; i-- > 0;) attention_run(p, packed.get(), i, i + 1, level);
    } else {
      attention_pack(p, packed.get(), 0, packs, level);
      attention_run(p, packed.get(), 0, runs, level);
    }
    return out;
  }

  std::vector<float> by_definition() const {
    std::vector<float> exact(out.size());
    plain_attention(p, exact.data());
    return exact;
  }
};

// Length of the difference in units of the length. a: bf16 numbers
template <class Exact>
double distance(const std::vector<uint16_t>& a, const std::vector<Exact>& b) {
  double difference = 0, length = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{from_bf16(a[i])} - double{b[i]}, 2);
    length += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / length);
}

}  // namespace pangu::kernels
