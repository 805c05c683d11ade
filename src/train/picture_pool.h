// Decoded pictures in memory, and the order in which training sees them: a new permutation every
// epoch, a pure function of (seed, epoch). Composes cut-outs on white or, sometimes, on a colour.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/rng.h"

namespace pangu::train {

// Index of the sample at `position` (0, 1, 2, ... over the whole run) among `size` items, by a
// shuffle of each epoch. Thread-safe; keeps the shuffles of the last few epochs.
class EpochOrder {
 public:
  EpochOrder(uint64_t seed, int64_t size) : seed_(seed), size_(size) {}
  int64_t at(int64_t position);

 private:
  uint64_t seed_;
  int64_t size_;
  std::mutex mutex_;
  std::unordered_map<int64_t, std::vector<int32_t>> epochs_;
};

// rgba: [H,W,4] u8 -> [3,H,W] f32 in [-1,1] over the colour (components 0..1).
at::Tensor over_colour(const at::Tensor& rgba, const double (&colour)[3]);

// White, or with `probability` a colour: half of those pale, half anything.
void draw_background(Rng& rng, double probability, double (&colour)[3]);

}  // namespace pangu::train
