// What the trainings on a frozen base begin with: the model, the usual settings, and one run for
// each of its experts. LoRAs, ControlNets and whole networks add what is theirs.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/train/training.h"
#include "train/config.h"

namespace pangu::app {

// model: a path or a name. unet: a folder whose network takes the model's own one's place; empty:
// none does. Error kBadInput if the model draws from more than text and masks.
std::shared_ptr<const pipeline::FrozenBase> frozen_base_of(const std::string& model,
                                                           const std::string& unet = "");

// The model's own size and shapes, one picture a step, little memory. The device decides the
// precision; empty: the CPU.
train::TrainConfig frozen_config(const pipeline::FrozenBase& base, const std::string& model,
                                 const std::string& device);

// One run for each of `experts` that config.expert chooses, with the model's prediction type and
// the expert's timesteps. Error kBadInput if it chooses none, for sizes that the model's latents do
// not have, and for settings of masks that do not fit the model.
std::vector<TrainingRun> frozen_runs_of(const train::TrainConfig& config,
                                        const std::shared_ptr<const pipeline::FrozenBase>& base,
                                        const std::vector<pipeline::TrainedExpert>& experts);

// Error kBadInput if the folder or single file that the model is written to is something else's, or
// if output_dir has the name of a single file.
void check_output(const train::TrainConfig& config);

// The run writes config.model_output, a folder or a single file (where it is empty, output_dir),
// and works in OUTPUT_DIR/training/EXPERT. Error kBadInput as of check_output, or if that is the
// model's own.
void place_run(TrainingRun& run);

}  // namespace pangu::app
