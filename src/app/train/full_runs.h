// Trainings of all weights of denoisers of families that are not our own: from a model
// (`pangu-draw train --finetune`), or from random weights by a network's configuration.
#pragma once
#include <string>
#include <vector>

#include "app/train/training.h"
#include "pipeline/tuned_model.h"
#include "train/config.h"

namespace pangu::app {

// Whether the model is one of our own small families, which are trained by app/train/finetune.
bool is_own_model(const std::string& model);
// Whether config.model_dir has the other parts of a model of another family.
bool begins_from_nothing(const train::TrainConfig& config);

// What `train --finetune` asks for. expert: config.expert. The texture expert is trained at half
// the model's size on pictures of at least that, the structure expert at the whole size on all, as
// PanGu-Draw's time-decoupled training does (arXiv 2312.16486).
train::TrainConfig full_config(const std::string& model, const std::string& device,
                               const std::string& expert);

// One run for each expert that config.expert chooses, into OUTPUT_DIR/training/EXPERT and
// OUTPUT_DIR; of a model with one denoiser "structure" and "texture" are the halves of its
// timesteps, which part at config.min_timestep or max_timestep, or in the middle. Random weights,
// or with config.inpainting the model's with input channels for masks, are written to
// OUTPUT_DIR/training/ first, or with `is_dry` to a folder that vanishes.
std::vector<TrainingRun> full_runs_of(const train::TrainConfig& config, bool is_dry);

// What the model is told that comes of the run.
pipeline::TunedModelPlan tuned_plan_of(const TrainingRun& run);

}  // namespace pangu::app
