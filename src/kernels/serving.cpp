#include "kernels/serving.h"

#include <limits>

namespace pangu::kernels {
namespace {

constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
using enum Level;
using enum Served;

constexpr ServingRow kRows[] = {
#include "kernels/serving_table.inc"
};

Level level_of(Served served, int64_t numbers, int64_t rows) {
  if (const auto asked = asked_level()) return *asked;
  return level_in_table(chosen_level(), served, numbers, rows);
}

}  // namespace

Level level_in_table(Level machine, Served served, int64_t numbers, int64_t rows) {
  for (const ServingRow& row : kRows) {
    if (row.machine != machine || row.served != served) continue;
    if (numbers <= row.most_numbers && rows <= row.most_rows) return row.level;
  }
  return Level::kPlain;
}

Level attention_level(const AttentionProblem& problem) {
  return level_of(Served::kAttention, problem.width, problem.keys);
}

Level attention_gradient_level(const AttentionProblem& problem) {
  return level_of(Served::kAttentionGradient, problem.width, problem.keys);
}

Level product_level(const ProductWeights& weights, Served served) {
  return level_of(served, weights.inputs, weights.taps());
}

}  // namespace pangu::kernels
