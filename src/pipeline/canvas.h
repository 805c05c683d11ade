// The pictures that a drawing starts from, as its sampler sees them: image-to-image, inpainting,
// control pictures. It knows no prompt and no file; noise arrives from the caller.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>
#include <vector>

#include "diffusion/denoiser.h"
#include "image/fit.h"
#include "image/image.h"
#include "pipeline/model.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

// The pixels behind the file names of a request, of any size: they are brought to the request's,
// those of another shape as its resize_mode says. A mask may be an alpha channel (image/mask.h).
struct Pictures {
  std::optional<image::Image> init, mask;
  std::vector<image::Image> controls;  // as many as the model has ControlNets
  std::optional<image::Image> prompt;  // what an image-variation model reads instead of a text
};

// Undefined tensors are "none". Latents are as the denoiser sees them.
struct Canvas {
  std::optional<Posterior> init;     // [1,C,h,w] of the picture to start from
  std::optional<Posterior> masked;   // of the same with the masked part grey (inpainting networks)
  at::Tensor mask;                   // [1,1,h,w] in [0,1]: 1 is drawn anew, 0 stays
  at::Tensor hard_mask;              // [1,1,h,w], 0 or 1 (inpainting networks)
  std::vector<at::Tensor> hints;     // [1,3,H,W] in [0,1], one a ControlNet
  at::Tensor control;                // [1,E,h,w] in [0,1] of a model with control channels
  image::Image original, soft_mask;  // of the request's size, for `composite`
};

// The picture's own width and height, made smaller where the model allows no such sides and brought
// down to the multiples that it does; of a model with a list of sizes the nearest of that.
std::pair<int, int> size_near(const image::Image& picture, const RequestRules& rules);

// A picture brought to a size: [1,3,height,width] in [0,1]. As image::fitted, without rounding to
// bytes. REQUIRES: an RGB picture.
at::Tensor fitted_pixels(const image::Image& picture, int64_t height, int64_t width, image::Fit fit,
                         image::Filter filter);

// What an image-variation model reads, [1,3,H,W] in [0,1]; undefined for others. Error kBadInput if
// one is missing or given in vain.
at::Tensor picture_prompt(const Model& model, const Pictures& pictures);

// request: resolved. Error kBadInput if the pictures are not those that request and model need.
Canvas make_canvas(const Model& model, const Request& request, const Pictures& pictures,
                   const Watch& watch = {});

// Outside the mask the denoiser's guess is the picture itself, so that every sampler keeps it there
// at every noise level (the latent blending of Avrahami et al. 2022 for x = z0 + sigma * eps).
// z0: [B,C,h,w], mask: [1,1,h,w]. With hides_at > 0 the network sees pure noise outside the mask at
// that sigma, as diffusers' pipelines begin at full strength; input_scale is the schedule's there.
diffusion::Denoiser keep_outside(diffusion::Denoiser denoise, at::Tensor z0, at::Tensor mask,
                                 double hides_at, double input_scale);

// Lays the drawn picture over the original by the soft mask.
image::Image composited(const image::Image& drawn, const Canvas& canvas);

}  // namespace pangu::pipeline
