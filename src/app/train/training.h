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
#include "core/watch.h"
#include "pipeline/families/frozen_base.h"
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
  // Of fine-tuning our own models, or of trainings of other families: the model, and which of its
  // experts this run trains.
  std::shared_ptr<const pipeline::TrainingBase> base;
  std::shared_ptr<const pipeline::FrozenBase> frozen;
  pipeline::TrainedExpert expert;
};

struct TrainingOutcome {
  int64_t step = 0;
  bool is_finished = false;  // config.max_train_steps
  std::string model;         // the folder, or a LoRA's file, that was written; empty: none
};

// Trains the autoencoder and writes OUTPUT_DIR/vae/ in diffusers' layout.
TrainingOutcome train_autoencoder(const TrainingRun& run);
// Trains a denoiser and writes the folder of a model.
TrainingOutcome train_denoiser(const TrainingRun& run);
// These train on run.frozen: a LoRA of a denoiser, whose file is written; all weights of one, of
// which the folder of a model comes; a ControlNet beside one, as a folder.
TrainingOutcome train_lora(const TrainingRun& run);
TrainingOutcome train_weights(const TrainingRun& run);
TrainingOutcome train_controlnet(const TrainingRun& run);

// Whether this process writes the run's files and speaks: the first of those that train together.
bool is_first_process(const TrainingRun& run);

// The first process does `work`, then the others, which find the files that it left. Returns its
// result. Throws Stopped in all where it was stopped in the first.
template <class Work>
auto first_alone(const TrainingRun& run, const Work& work) -> decltype(work());

// Of a run that is about to start: checks its device and the space that its files need, and says
// whether it starts or goes on.
void begin_run(const TrainingRun& run, const torch::nn::Module& network);

// For a progress bar: what is done, how fast, and how long is left by the steps or by the time
// budget, whichever ends first.
Progress progress_of(const train::StepReport& report, const char* unit);

// "steps waited 0.02 % of their time for data".
std::string data_wait_text(const train::TrainResult& result);

// Weights by name from a safetensors file or a folder of sharded ones; of a checkpoint of any
// training its master weights.
std::map<std::string, at::Tensor> read_initial_weights(const std::string& path);

template <class Work>
auto first_alone(const TrainingRun& run, const Work& work) -> decltype(work()) {
  if (!run.hooks.world) return work();
  dist::World& world = *run.hooks.world;
  if (!world.is_first()) {
    if (world.of_first({0})[0] > 0) throw Stopped("stopped while the first process read the data");
    return work();
  }
  try {
    auto result = work();
    world.of_first({0});
    return result;
  } catch (const Stopped&) {
    world.of_first({1});
    throw;
  }
}

}  // namespace pangu::app
