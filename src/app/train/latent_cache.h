// Pictures and captions to what a denoiser trains on: latents by the autoencoder, token states by
// the text encoder; computed once and kept in cache_dir.
#pragma once
#include <functional>
#include <memory>

#include "train/config.h"
#include "train/latent_set.h"

namespace pangu::app {

// Reads config.cache_dir/latents.safetensors if it was made of the same data, sizes and model;
// otherwise makes it. Runs on all cores, shows progress on stderr unless quiet. Nothing if stop()
// says so meanwhile (it may be empty); what is computed by then is kept for the next call.
std::shared_ptr<train::LatentSet> latent_set_for(const train::TrainConfig& config, bool quiet,
                                                 const std::function<bool()>& stop);

}  // namespace pangu::app
