// What a training on a frozen base reads: pictures and captions through the base's own encoders,
// once, before a denoiser is in memory.
#pragma once
#include <memory>
#include <string>

#include "app/train/training.h"
#include "app/train/training_pictures.h"
#include "train/latent_set.h"

namespace pangu::app {

// What is trained and validated on, and what tells it from other data.
struct FrozenData {
  std::shared_ptr<train::LatentSet> set, validation;  // no validation: null
  std::string conditioning;
};

// Text encoders and autoencoder are in memory no longer than this takes, but for the autoencoder of
// an inpainting model, which encodes masked pictures all along. Of a dry run one picture, and
// nothing is kept. Error kBadInput if a picture is of no use or the model knows no such size.
FrozenData frozen_data(const TrainingRun& run, const TrainingData& data);

}  // namespace pangu::app
