// What a denoiser's training reads, wired together: the dataset's pictures, the codec of the
// model's latents and the reader of its captions, all of one family.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "app/train/training_pictures.h"
#include "core/watch.h"
#include "data/buckets.h"
#include "pipeline/families/training.h"
#include "train/config.h"
#include "train/latent_encoding.h"
#include "train/latent_set.h"

namespace pangu::app {

struct CacheSources {
  TrainingData data;
  pipeline::LatentCodec codec;
  train::LatentEncoders encoders;
  std::vector<data::Bucket> buckets = {};  // the only sizes that the model knows; empty: any
};

// Error kBadInput naming what is missing, or a combination that cannot be trained.
CacheSources open_cache_sources(const train::TrainConfig& config,
                                const pipeline::TrainingSpec& spec,
                                const pipeline::NetworkConfigs& networks, TrainingData data);

// The hash of what turns pictures and captions into a denoiser's inputs.
std::string conditioning_hash(const CacheSources& sources);

// train::encode_training_set of all pictures, with progress on stderr unless quiet.
std::shared_ptr<train::LatentSet> latent_set_for(const train::TrainConfig& config,
                                                 const CacheSources& sources, bool quiet,
                                                 const std::function<bool()>& wants_stop);

// The same of one picture, and nothing is kept.
std::shared_ptr<train::LatentSet> latent_set_of_one(const train::TrainConfig& config,
                                                    const CacheSources& sources,
                                                    const data::Item& item);

}  // namespace pangu::app
