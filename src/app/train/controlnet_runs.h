// `pangu-draw train --controlnet`: the settings that it begins with, and its run.
#pragma once
#include <string>
#include <vector>

#include "app/train/training.h"
#include "train/config.h"

namespace pangu::app {

// What `train --controlnet` asks for. Error kBadInput if the model is none whose ControlNets are
// trained.
train::TrainConfig controlnet_config(const std::string& model, const std::string& device);

// The run of the one denoiser, or of the one expert that config.expert names, into OUTPUT_DIR.
std::vector<TrainingRun> controlnet_runs_of(const train::TrainConfig& config);

}  // namespace pangu::app
