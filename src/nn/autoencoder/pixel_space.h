// Pixels as latents, for denoisers without an autoencoder: each patch of p x p pixels becomes one
// latent pixel of 3 p^2 channels (space to depth, Shi et al. 2016 in reverse). Lossless and without
// weights. Not a network.
#pragma once
#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>

namespace pangu::nn {

// config.json of a model's vae/ folder: {"_class_name": "PixelSpace", "patch_size": 8,
// "scaling_factor": 0.5, "shift_factor": 0}.
struct PixelSpace {
  int64_t patch_size = 8;
  double scaling_factor = 0.5;  // latents are (pixels - shift_factor) times this
  double shift_factor = 0.0;

  static bool is_config(const nlohmann::json& json);
  // Throws Error kBadInput naming the key.
  static PixelSpace from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;

  int64_t channels() const { return 3 * patch_size * patch_size; }
  // [B,3,H,W] in [-1,1], sides multiples of patch_size -> [B,3p^2,H/p,W/p], and back.
  at::Tensor encode(const at::Tensor& pixels) const;
  at::Tensor decode(const at::Tensor& latents) const;
};

// A control picture as channels beside such or any other latents: [B,3,H,W] in [0,1] -> its
// brightness [B,f^2,H/f,W/f].
at::Tensor control_channels(const at::Tensor& hint, int64_t downscale);

}  // namespace pangu::nn
