// The course of every training on a frozen base: data through its encoders, checks, the loop,
// validation and what is written. What learns there (a LoRA, all weights, a ControlNet) is a value.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/train/training.h"
#include "app/train/training_pictures.h"
#include "pipeline/families/frozen_base.h"
#include "tensors/safetensors.h"
#include "train/denoiser_loss.h"

namespace pangu::app {

// Replicas that learn: the module whose parameters are trained, and what it predicts.
struct Learners {
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  std::vector<train::DenoiserCall> calls;
  pipeline::TextSide text = {};  // of the first, if it learns to read prompts too; else empty
};

struct FrozenKind {
  // So many replicas, whose frozen weights are in memory once.
  std::function<Learners(const pipeline::FrozenPlace& place, int64_t count)> learners;
  // Of the weights that are written.
  at::ScalarType weights_type = at::kFloat;
  std::function<double(const std::string& parameter)> rate_factor = {};  // TrainHooks::rate_factor
  // Writes what was trained, after `step` steps. weights: averaged.
  std::function<void(const tensors::TensorMap& weights, int64_t step, const TrainingData& data)>
      write;
  // The same every sample_every_n_steps but for the end; empty: nothing is written then.
  std::function<void(const tensors::TensorMap& weights, int64_t step, const TrainingData& data)>
      write_so_far;
};

// run.frozen is set. The outcome's model is config.model_output.
TrainingOutcome train_frozen(const TrainingRun& run, const FrozenKind& kind);

// The weights of every replica begin from config.seed.
void seed_weights(const train::TrainConfig& config);

}  // namespace pangu::app
