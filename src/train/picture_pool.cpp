#include "train/picture_pool.h"

#include <torch/types.h>

#include <numeric>

namespace pangu::train {
namespace {
constexpr uint64_t kOrderStream = 0x6f72646572;  // keeps these draws apart from noise and captions
constexpr size_t kPictureEpochsKept = 4;
}  // namespace

int64_t EpochOrder::at(int64_t position) {
  const int64_t epoch = position / size_;
  const std::lock_guard lock(mutex_);
  auto found = epochs_.find(epoch);
  if (found == epochs_.end()) {
    if (epochs_.size() >= kPictureEpochsKept) epochs_.clear();
    std::vector<int32_t> order(static_cast<size_t>(size_));
    std::iota(order.begin(), order.end(), 0);
    Rng rng(seed_, kOrderStream + static_cast<uint64_t>(epoch) * 0x9E3779B97F4A7C15ull);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    found = epochs_.emplace(epoch, std::move(order)).first;
  }
  return found->second[static_cast<size_t>(position % size_)];
}

at::Tensor over_colour(const at::Tensor& rgba, const double (&colour)[3]) {
  const at::Tensor x = rgba.permute({2, 0, 1}).to(at::kFloat).mul_(1.0f / 255);
  const at::Tensor alpha = x[3];
  at::Tensor out = at::empty({3, x.size(1), x.size(2)});
  for (int c = 0; c < 3; ++c) {
    out[c] = (x[c] * alpha + (1 - alpha) * colour[c]) * 2 - 1;
  }
  return out;
}

void draw_background(Rng& rng, double probability, double (&colour)[3]) {
  colour[0] = colour[1] = colour[2] = 1.0;
  if (rng.uniform() >= probability) return;
  const double low = rng.uniform() < 0.5 ? 0.7 : 0.0;
  for (double& c : colour) c = rng.uniform(low, 1.0);
}

}  // namespace pangu::train
