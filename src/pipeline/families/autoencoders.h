// What serves latents: a decoder and an encoder of either kind (AutoencoderKL, TAESD), in tiles
// where the picture is large. Weights come in when first needed. It knows no denoiser.
#pragma once
#include <memory>

#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// family_scale: nn::AutoencoderKLConfig::scaling_factor of a component without a configuration.
// tile: LoadOptions::vae_tile.
LatentCodec kl_autoencoder(const std::shared_ptr<const Component>& component, double family_scale,
                           const Placement& place, int tile);
LatentCodec tiny_autoencoder(const std::shared_ptr<const Component>& component,
                             const Placement& place, int tile);

// What serves the latents of a vae/ folder, AutoencoderKL or PixelSpace. Error kBadInput naming the
// file or key that is missing or wrong.
LatentCodec open_latent_codec(const std::string& folder, const LoadOptions& options);

// A tiny autoencoder (TAESD, TAESDXL) of a file or folder of its own; of the two halves it may have
// one alone. Error kBadInput if it is another network.
LatentCodec open_tiny_autoencoder(const std::string& path, const LoadOptions& options);

// config: nn::PixelSpace. Pixels are the latents; nothing to load.
LatentCodec pixel_autoencoder(const nlohmann::json& config);

}  // namespace pangu::pipeline
