// What serves latents: a decoder and an encoder of either kind (AutoencoderKL, TAESD), in tiles
// where the picture is large. Weights come in when first needed. It knows no denoiser.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// The callables are those of Model.
struct Autoencoder {
  int latent_channels = 0, downscale = 0;
  std::string space;  // Model::space
  std::function<void()> load;
  std::function<at::Tensor(const at::Tensor&)> decode;
  std::function<Posterior(const at::Tensor&)> encode;
};

// family_scale: nn::AutoencoderKLConfig::scaling_factor of a component without a configuration.
// tile: LoadOptions::vae_tile.
Autoencoder kl_autoencoder(const std::shared_ptr<const Component>& component, double family_scale,
                           const Placement& place, int tile);
Autoencoder tiny_autoencoder(const std::shared_ptr<const Component>& component,
                             const Placement& place, int tile);

// config: nn::PixelSpace. Pixels are the latents; nothing to load.
Autoencoder pixel_autoencoder(const nlohmann::json& config);

}  // namespace pangu::pipeline
