// Pixels as latents, for denoisers without an autoencoder: each patch of p x p pixels becomes one
// latent pixel of 3 p^2 channels (space to depth, Shi et al. 2016 in reverse). The conversion is
// lossless and has no weights.
#pragma once
#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>

namespace pangu::nn {

// The config.json of a model's vae/ folder: {"_class_name": "PixelSpace", "patch_size": 8,
// "scaling_factor": 0.5, "shift_factor": 0}.
struct PixelSpace {
  int64_t patch_size = 8;
  double scaling_factor = 0.5;  // latents are (pixels - shift_factor) * scaling_factor
  double shift_factor = 0.0;

  static bool is_config(const nlohmann::json& json);
  // Throws kBadInput naming the key.
  static PixelSpace from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;

  int64_t channels() const { return 3 * patch_size * patch_size; }
  // Convert [B,3,H,W] in [-1,1], with sides that are multiples of patch_size, to [B,3p^2,H/p,W/p],
  // and back.
  at::Tensor encode(const at::Tensor& pixels) const;
  at::Tensor decode(const at::Tensor& latents) const;
};

// Turns a control picture [B,3,H,W] in [0,1] into extra input channels for latents of any space:
// its brightness as [B,f^2,H/f,W/f], f = downscale.
at::Tensor control_channels(const at::Tensor& hint, int64_t downscale);

}  // namespace pangu::nn
