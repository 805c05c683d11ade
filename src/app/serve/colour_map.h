// A quick look at latents: an affine map from a latent's channels to a colour, fitted once a model
// to its own decoder. Good enough to see what a drawing becomes, at no cost worth naming.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/watch.h"
#include "image/image.h"
#include "pipeline/model.h"

namespace pangu::app {

// weights: [C+1,3] f32, the last row is the colour of a latent of zeros; pixels in [-1,1].
struct ColourMap {
  at::Tensor weights;
};

// Least squares over one decoded latent of smooth random values, which decoders were trained to
// expect more than white noise. Costs one decoding of 16 x 16 latent pixels.
ColourMap fitted_colours(const pipeline::LatentCodec& codec, const Watch& watch);

// latents: [C,h,w] as the denoiser sees them -> a picture of w x h pixels.
image::Image coloured(const ColourMap& map, const at::Tensor& latents);

}  // namespace pangu::app
