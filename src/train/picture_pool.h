// Decoded pictures in memory, and the order in which training sees them: a new permutation every
// epoch, a pure function of (seed, epoch). Composes cut-outs on white or, sometimes, on a colour.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/rng.h"

namespace pangu::train {

// Index of the sample at `position` (0, 1, 2, ... over the whole run) among `size` items: a keyed
// permutation of each epoch (data/permutation.h). REQUIRES: size >= 1.
int64_t epoch_sample(uint64_t seed, int64_t size, int64_t position);

// rgba: [H,W,4] u8 -> [3,H,W] f32 in [-1,1] over the colour (components 0..1).
at::Tensor over_colour(const at::Tensor& rgba, const double (&colour)[3]);

// White, or with `probability` a colour: half of those pale, half anything.
void draw_background(Rng& rng, double probability, double (&colour)[3]);

}  // namespace pangu::train
