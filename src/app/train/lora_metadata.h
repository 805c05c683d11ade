// What a LoRA's file says of its training, under the keys of kohya's sd-scripts (ss_...), which web
// UIs show, and of Stability AI's SAI Model Spec (modelspec...).
#pragma once
#include "app/train/training.h"
#include "app/train/training_pictures.h"
#include "io/safetensors.h"

namespace pangu::app {

// step: of the optimiser, after which the weights are. The pictures have their captions as the
// dataset has them.
io::Metadata lora_metadata_of(const TrainingRun& run, const TrainingData& data, int64_t step);

}  // namespace pangu::app
