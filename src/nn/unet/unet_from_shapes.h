// Configurations of UNets and autoencoders read off the names and shapes of their tensors (those of
// diffusers), for checkpoints that come without a config.json. Weights are not read. What cannot be
// read off shapes is taken from the released families: see each function.
#pragma once
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/unet/unet_config.h"
#include "nn/weights.h"

namespace pangu::nn {

// Reads levels, widths, layers, depths of transformers, context widths, projections, kernels and
// added embeddings. What follows is not in shapes and therefore assumed:
//   heads       64 wide with linear projections (SD 2, SDXL, PanGu-Draw 3), one where a level is
//               narrower; 8 at every level with convolutional ones (SD 1)
//   time ids    256 wide each (SDXL 1280 + 6 * 256, its refiner 1280 + 5 * 256, PanGu-Draw 3
//               1280 + 256): how many there are follows from the pooled width that is given
//   norms       32 groups or, where a width is no multiple, their greatest common divisor with 32
//   the rest    flip_sin_to_cos, norm_eps, freq_shift: defaults; upcast_attention false
// A class embedding of two linear layers is "projection" or, when its input is as wide as the first
// level, "timestep". Throws kBadInput naming the tensor when it is not such a UNet.
UNetConfig unet_config_from_shapes(const TensorShapes& shapes);

// The same for the part that a ControlNet shares with a UNet: an upward half is assumed that
// mirrors the downward one, and out_channels stays 4.
UNetConfig down_half_config_from_shapes(const TensorShapes& shapes);

// The configuration of an AutoencoderKL. scaling_factor stays SD's 0.18215, since SDXL's
// autoencoder has the same shapes.
AutoencoderKLConfig autoencoder_config_from_shapes(const TensorShapes& shapes);

}  // namespace pangu::nn
