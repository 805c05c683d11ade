#include "train/picture_pool.h"

#include <torch/types.h>

#include "core/error.h"
#include "data/permutation.h"

namespace pangu::train {
namespace {
constexpr uint64_t kOrderStream = 0x6f72646572;  // keeps these draws apart from noise and captions
constexpr uint64_t kEpochStep = 0x9E3779B97F4A7C15ull;
}  // namespace

at::Tensor picture_at(const PicturePool& pool, int64_t place) {
  const size_t count = pool.shown.size();
  for (size_t behind = 0; behind < count; ++behind) {
    const at::Tensor picture = pool.read(pool.shown[(static_cast<size_t>(place) + behind) % count]);
    if (picture.defined()) return picture;
  }
  throw bad_input("training data", "at least one picture that can be read", "none");
}

int64_t epoch_sample(uint64_t seed, int64_t size, int64_t position) {
  const auto epoch = static_cast<uint64_t>(position / size);
  const data::Permutation order(static_cast<uint64_t>(size), seed,
                                kOrderStream + epoch * kEpochStep);
  return static_cast<int64_t>(order(static_cast<uint64_t>(position % size)));
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
