// Pictures and captions to what a denoiser trains on: latents by the autoencoder, token states by
// the text encoder; computed once and kept in cache_dir.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "app/train/training_pictures.h"
#include "pipeline/model.h"
#include "train/config.h"
#include "train/latent_set.h"

namespace pangu::app {

// What latents and caption states are made of.
struct CacheSources {
  TrainingData data;
  pipeline::LatentCodec codec;  // of model_dir
  std::string text_encoder;  // hash of its files and the tokenizer's; empty if no caption is read
};

// Error kBadInput naming what is missing, or a combination that cannot be trained.
CacheSources open_cache_sources(const train::TrainConfig& config);

// The hash of what turns pictures and captions into a denoiser's inputs.
std::string conditioning_hash(const CacheSources& sources);

// Reads config.cache_dir/latents.safetensors if it was made of the same data, sizes and model;
// otherwise makes it. Runs on all cores, shows progress on stderr unless quiet. Nothing if stop()
// says so meanwhile (it may be empty); what is computed by then is kept for the next call. Error
// kBadInput before anything is computed if config.latent_crop does not fit.
std::shared_ptr<train::LatentSet> latent_set_for(const train::TrainConfig& config,
                                                 const CacheSources& sources, bool quiet,
                                                 const std::function<bool()>& stop);

}  // namespace pangu::app
