// Pictures that a LoRA is not trained on, and its loss on them at fixed noise levels: what tells a
// LoRA that learns from one that learns by heart.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "app/train/training_pictures.h"
#include "diffusion/loss.h"
#include "train/config.h"
#include "train/denoiser_loss.h"
#include "train/latent_set.h"

namespace pangu::app {

// The pictures to train on, and config.validation_split of them to validate on: by the hashes of
// their bytes, so that a picture stays on its side when others are added. Error kBadInput if one
// side would be empty, though a split is asked for.
std::pair<TrainingData, TrainingData> split_for_validation(const train::TrainConfig& config,
                                                           TrainingData data);

// The mean loss of `net` on up to 16 pictures of one shape at five times of the trained range, with
// one fixed noise each; a line of OUTPUT_DIR/validation.jsonl has each of them. The loss is not
// weighted.
double validate_at(int64_t step, const train::TrainConfig& config,
                   const diffusion::Schedule& schedule, const diffusion::LossConfig& loss_config,
                   const train::DenoiserCall& net, const train::LatentSet& set);

}  // namespace pangu::app
