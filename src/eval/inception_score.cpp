// With q the mean of p over a split, its mean KL distance is mean(sum p log p) - sum q log q.
#include "eval/inception_score.h"

#include <torch/types.h>

#include <cmath>

#include "core/error.h"
#include "core/rng_numpy.h"

namespace pangu::eval {

InceptionScore::InceptionScore(int64_t total, int64_t splits, uint64_t seed)
    : splits_(splits), split_of_(static_cast<size_t>(total)) {
  const std::vector<int64_t> order = NumpyRandom(seed).permutation(static_cast<uint64_t>(total));
  for (int64_t split = 0; split < splits; ++split) {
    for (int64_t i = split * total / splits; i < (split + 1) * total / splits; ++i) {
      split_of_[static_cast<size_t>(order[static_cast<size_t>(i)])] = static_cast<int32_t>(split);
    }
  }
}

void InceptionScore::add(int64_t first, const at::Tensor& logits) {
  const int64_t count = logits.size(0), classes = logits.size(1);
  if (first < 0 || first + count > static_cast<int64_t>(split_of_.size())) {
    throw Error(ErrorCode::kInternal, "InceptionScore: a picture beyond the total");
  }
  const at::Tensor log_p = at::log_softmax(logits.to(at::kDouble), 1), p = log_p.exp();
  const at::Tensor rows =
      at::cat({p, (p * log_p).sum(1, /*keepdim=*/true), at::ones({count, 1}, at::kDouble)}, 1);
  if (!sums_.defined()) sums_ = at::zeros({splits_, classes + 2}, at::kDouble);
  const at::Tensor split = at::from_blob(split_of_.data() + first, {count}, at::kInt).to(at::kLong);
  sums_.index_add_(0, split, rows);
}

void InceptionScore::add(const InceptionScore& other) {
  if (other.splits_ != splits_ || other.split_of_ != split_of_) {
    throw Error(ErrorCode::kInternal, "InceptionScore: parts of different wholes");
  }
  if (!other.sums_.defined()) return;
  sums_ = sums_.defined() ? sums_ + other.sums_ : other.sums_.clone();
}

Spread InceptionScore::score() const {
  if (!sums_.defined() || (sums_.select(1, -1) == 0).any().item<bool>()) {
    return {std::nan(""), std::nan("")};
  }
  const int64_t classes = sums_.size(1) - 2;
  const at::Tensor counts = sums_.select(1, -1);
  const at::Tensor q = sums_.narrow(1, 0, classes) / counts.unsqueeze(1);
  const at::Tensor scores = (sums_.select(1, classes) / counts - at::xlogy(q, q).sum(1)).exp();
  return {scores.mean().item<double>(), scores.std(/*unbiased=*/false).item<double>()};
}

}  // namespace pangu::eval
