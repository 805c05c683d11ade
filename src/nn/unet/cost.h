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

// How many numbers one row of a UNet keeps in training until its backward pass is through, from
// shapes: what the gradients of products, norms and activations are computed from, each once. The
// scores of attention are never held. What depends on the text or the time alone is left out, and
// so is what an allocator or a kernel needs beside.
struct UnetActivations {
  double kept = 0;     // what lies between residual and transformer blocks, and their inputs
  double insides = 0;  // of all these blocks
  double largest = 0;  // of the block with the largest insides
  // The most at one time. A block that is computed twice (UNetStepExtras::recomputes) has its
  // insides in memory only while its gradients are computed, which are as many numbers again.
  double most(bool recomputes) const;
};
UnetActivations unet_activations(const TensorShapes& shapes, int64_t h, int64_t w,
                                 int64_t context_length = 77);

// The cost in 10^9 operations of an AutoencoderKL's encoder or decoder, for a picture of height x
// width; its outermost convolution in latent space counts as if it were in pixels. 0 for other
// autoencoders.
double encoder_gflop(const TensorShapes& shapes, int64_t height, int64_t width);
double decoder_gflop(const TensorShapes& shapes, int64_t height, int64_t width);

}  // namespace pangu::nn
