// Wiring of the training tasks: data, networks and the loop of train/ become `pangu-draw train`.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "train/config.h"
#include "train/trainer.h"

namespace pangu::app {

struct TrainingRun {
  train::TrainConfig config;
  bool resume = true;
  bool dry_run = false;
  bool quiet = false;
  train::TrainHooks hooks;  // on_log and stop are set by the caller
};

// Trains the autoencoder and writes OUTPUT_DIR/vae/ in diffusers' layout.
void train_autoencoder(const TrainingRun& run);
// Trains a denoiser and writes the whole model, OUTPUT_DIR/model/ or where model_output says.
void train_denoiser(const TrainingRun& run);

// Weights by name from a safetensors file; of a checkpoint.safetensors of any training its master
// weights.
std::map<std::string, at::Tensor> read_initial_weights(const std::string& path);

}  // namespace pangu::app
