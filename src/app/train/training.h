// Wiring of the training tasks: data, networks and the loop of train/ become `pangu-draw train`.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/progress.h"
#include "pipeline/training_base.h"
#include "train/config.h"
#include "train/trainer.h"

namespace pangu::app {

struct TrainingRun {
  train::TrainConfig config;
  bool resume = true;
  bool dry_run = false;  // check everything, train nothing, write nothing
  bool quiet = false;
  train::TrainHooks hooks;                      // on_log and stop are set by the caller
  std::function<bool()> wants_stop;             // while data are read
  std::function<void(const std::string&)> say;  // what the run does, one line each
  // Of fine-tuning: the model, and which of its experts this run trains.
  std::shared_ptr<const pipeline::TrainingBase> base;
  pipeline::TrainedExpert expert;
};

struct TrainingOutcome {
  int64_t step = 0;
  bool is_finished = false;  // config.max_train_steps
  std::string model;         // the folder that was written; empty: none
};

// Trains the autoencoder and writes OUTPUT_DIR/vae/ in diffusers' layout.
TrainingOutcome train_autoencoder(const TrainingRun& run);
// Trains a denoiser and writes the folder of a model.
TrainingOutcome train_denoiser(const TrainingRun& run);

// Of a run that is about to start: checks its device and the space that its files need, and says
// whether it starts or goes on.
void begin_run(const TrainingRun& run, const torch::nn::Module& network);

// For a progress bar: what is done, how fast, and how long is left by the steps or by the time
// budget, whichever ends first.
Progress progress_of(const train::StepReport& report, const char* unit);

// Weights by name from a safetensors file; of a checkpoint.safetensors of any training its master
// weights.
std::map<std::string, at::Tensor> read_initial_weights(const std::string& path);

}  // namespace pangu::app
