// The pictures of a training that sees pixels, read whenever they are asked for, and the order in
// which it sees them: a new permutation every epoch, a pure function of (seed, epoch). Composes
// cut-outs on white or, sometimes, on a colour.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "core/rng.h"

namespace pangu::train {

// A list of what to read: no picture is kept.
struct PicturePool {
  std::vector<uint32_t> shown;  // the pictures of an epoch, each as often as it repeats
  // [H,W,4] u8; undefined of a picture that is broken. A function of the picture alone, called from
  // several threads. Errors end the training.
  std::function<at::Tensor(uint32_t picture)> read;
};

// The picture at a place of pool.shown, or the next one behind it, from the end on to the first,
// that is not broken: broken ones change nothing for the places of others. Error kBadInput if all
// are broken. REQUIRES: 0 <= place < pool.shown.size().
at::Tensor picture_at(const PicturePool& pool, int64_t place);

// Index of the sample at `position` (0, 1, 2, ... over the whole run) among `size` items: a keyed
// permutation of each epoch (data/permutation.h). REQUIRES: size >= 1.
int64_t epoch_sample(uint64_t seed, int64_t size, int64_t position);

// rgba: [H,W,4] u8 -> [3,H,W] f32 in [-1,1] over the colour (components 0..1).
at::Tensor over_colour(const at::Tensor& rgba, const double (&colour)[3]);

// White, or with `probability` a colour: half of those pale, half anything.
void draw_background(Rng& rng, double probability, double (&colour)[3]);

}  // namespace pangu::train
