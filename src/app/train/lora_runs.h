// `pangu-draw train --lora`: the settings that it begins with, and its runs, one for each expert.
#pragma once
#include <string>
#include <vector>

#include "app/train/training.h"
#include "train/config.h"

namespace pangu::app {

// What `train --lora` asks for: the model's own size and shapes, one picture a step, little memory.
// Error kBadInput if the model is none whose LoRAs are trained.
train::TrainConfig lora_config(const std::string& model, const std::string& device);

// One run for each expert that config.expert chooses. A run of one of two experts works in
// OUTPUT_DIR/EXPERT and writes MODEL_OUTPUT with _EXPERT before its suffix.
std::vector<TrainingRun> lora_runs_of(const train::TrainConfig& config);

}  // namespace pangu::app
