// Pixels to latents and back while a denoiser trains: by the autoencoder of a model folder, or,
// where its vae/config.json says PixelSpace, the pixels themselves.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace pangu::app {

struct Codec {
  int64_t downscale = 0;
  bool is_pixels = false;
  std::string identity;  // a hash, another one for other latents of one picture
  // pixels: [B,3,H,W] in [-1,1] <-> latents as a denoiser sees them [B,C,h,w], f32.
  std::function<at::Tensor(const at::Tensor& pixels)> encode;
  std::function<at::Tensor(const at::Tensor& latents)> decode;
};

// folder: ".../vae". Error kBadInput naming a file or key that is missing or wrong.
Codec open_codec(const std::string& folder);

}  // namespace pangu::app
