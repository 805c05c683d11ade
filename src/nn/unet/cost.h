// The cost of a network's forward, computed from the shapes of its tensors before any weight is
// read: multiplications and additions of convolutions, matrix products and attention. Norms,
// activations and resampling are left out; they are a few percent.
#pragma once
#include <cstdint>

#include "nn/weights.h"

namespace pangu::nn {

// The cost in 10^9 operations of one row of a UNet2DConditionModel (or a ControlNet) with
// diffusers' names, on latents of h x w. context_length: tokens of the conditions.
double unet_gflop(const TensorShapes& shapes, int64_t h, int64_t w, int64_t context_length = 77);

// The part of unet_gflop that a UNet computes in a forward that uses deep features again
// (nn/unet/deep_features.h) at this depth; of a ControlNet, what the residuals of the shallow part
// cost.
double unet_shallow_gflop(const TensorShapes& shapes, int64_t depth, int64_t h, int64_t w,
                          int64_t context_length = 77);

// The cost of one row in training, forward and backward. Every product costs as much again for the
// gradient of its input and of its weight, but latents, conditions and sinusoids need no gradient.
double unet_training_gflop(const TensorShapes& shapes, int64_t h, int64_t w,
                           int64_t context_length = 77);

// The cost in 10^9 operations of an AutoencoderKL's encoder or decoder, for a picture of height x
// width; its outermost convolution in latent space counts as if it were in pixels. 0 for other
// autoencoders.
double encoder_gflop(const TensorShapes& shapes, int64_t height, int64_t width);
double decoder_gflop(const TensorShapes& shapes, int64_t height, int64_t width);

}  // namespace pangu::nn
