// What comes of training all weights of a denoiser of any family: the model it began from, as
// convert writes it, with the trained network in it. It is a folder in diffusers' layout, or by its
// name a single file (pipeline/convert/convert.h). Two halves of the timesteps that are trained one
// after the other, each from the one denoiser that the model has, become one time-decoupled folder.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "pipeline/families/frozen_base.h"

namespace pangu::pipeline {

struct TunedModelPlan {
  // What is trained: its component is that of the base, its timesteps are what it is trained on.
  TrainedExpert expert;
  int64_t train_timesteps = 1000;       // of the schedule
  std::string save_precision = "bf16";  // of the trained weights: "bf16", "fp16" or "float"
  // Whether the base has one denoiser, of which this is trained on one half of the timesteps.
  bool is_half = false;
};

// The range that the half of a base's denoiser is trained on which is called `name` ("structure" or
// "texture"), where timesteps below `boundary` are the texture's.
TrainedExpert half_expert(const std::string& name, int64_t boundary, int64_t train_timesteps);

// Error kBadInput if `out` is a folder with a model whose other half does not meet this one, or a
// single file and the model cannot be one.
void check_tuned_model(const std::string& out, const FrozenBase& base, const TunedModelPlan& plan);

// Writes `out`. A single file is replaced. Of a folder: the whole model if there is none yet, and
// else the trained network in it, beside that of the other expert. model_index.json comes last. A
// model of one half names its range as trained_timesteps; of two, the boundary is where they meet.
// weights: f32, of the network.
void write_tuned_model(const std::string& out, const FrozenBase& base, const TunedModelPlan& plan,
                       const std::map<std::string, at::Tensor>& weights);

}  // namespace pangu::pipeline
