// Pictures that a model draws while it is trained: the real pipeline, with the network as it is in
// the place of its own.
#pragma once
#include <cstdint>

#include "app/train/training.h"
#include "train/denoiser_loss.h"

namespace pangu::app {

// Draws config.sample_prompts at the size that is trained at, picture i with the seed config.seed +
// i and all else by the model's defaults, and writes OUTPUT_DIR/samples/stepN.png, one sheet of
// them. `call` is on the device of the training; it takes the place of the expert that the run
// trains, at every noise level where the model has no other. Text encoders and autoencoder are in
// memory only for this. run.frozen is set.
void write_frozen_samples(const TrainingRun& run, int64_t step, const train::DenoiserCall& call,
                          const pipeline::TextSide& text);

}  // namespace pangu::app
