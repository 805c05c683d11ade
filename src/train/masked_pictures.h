// What a denoiser that fills masks reads beside the noisy latent (Rombach et al. 2022, inpainting):
// the mask, and the latent of the picture whose masked part is grey. Masks are drawn anew for every
// sample, so pictures are read and encoded while a step is computed; those that are masked as a
// whole, a quarter by the published recipe, have one latent for each size.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "core/rng.h"
#include "train/latent_set.h"

namespace pangu::train {

// Of one sample.
struct MaskedPicture {
  at::Tensor mask;    // [1,h,w] f32: 1 is drawn anew, 0 stays
  at::Tensor pixels;  // [1,3,H,W] f32 in [-1,1], masked part 0; undefined if all of it is masked
};

// Whether denoisers of this set are told of masks.
bool has_masks(const LatentSet& set);

// Draws the mask of one sample: of all of the picture with `whole_probability`, else the item's own
// mask, or a random one (image/random_mask.h). As in drawing, a latent pixel has the mask of the
// pixel at its corner. REQUIRES: has_masks(set). Error kBadInput or kIo if the picture cannot be
// read any more.
MaskedPicture masked_picture(const LatentSet& set, const LatentItem& item, double whole_probability,
                             Rng& rng_);

// The input channels behind a latent's, as released inpainting models have them: the mask, then the
// masked picture's latent, [n,1+C,h,w] f32. Each picture is encoded alone, so that its latent does
// not depend on those beside it. Thread-safe. REQUIRES: samples of one size, at least one.
at::Tensor mask_channels(const LatentSet& set, const std::vector<MaskedPicture>& samples);

}  // namespace pangu::train
