// Fine-tuning: from a model and folders of pictures to a configuration, and from a configuration to
// one run for each expert of its model.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "app/train/training.h"
#include "train/config.h"

namespace pangu::app {

// What `train --finetune` asks for of our own models: the model's own size and shapes, few steps at
// a low rate. The device decides the precision. Error kBadInput if the model cannot be trained.
train::TrainConfig finetuning_config(const std::string& model, const std::string& device);

// What a training of asked.pretrained_model begins with, by asked.network_module, expert and
// device. Error kBadInput if the model cannot be trained so.
train::TrainConfig usual_config(const train::TrainConfig& asked);

// One run for each expert that config.expert chooses; one alone where nothing is fine-tuned. Runs
// of a model write into OUTPUT_DIR/training/EXPERT, and the model into OUTPUT_DIR. With `is_dry`
// nothing is written to stay.
std::vector<TrainingRun> runs_of(const train::TrainConfig& config, bool is_dry);

// Writes `config` as a TOML file that trains the same. Error kBadInput if there is such a file.
void write_config(const train::TrainConfig& config, const std::string& file);

}  // namespace pangu::app
