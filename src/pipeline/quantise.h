// Prepares a model for drawing in int8 (LoadOptions::precision): draws a few prompts in bf16,
// measures every layer in int8 beside it, and writes the layers that bear it, with their weights
// rounded, beside the model.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/watch.h"
#include "pipeline/families/int8_weights.h"
#include "pipeline/load_options.h"

namespace pangu::pipeline {

struct QuantiseOptions {
  std::vector<std::string> prompts = {"a red apple on a wooden table, photograph",
                                      "a small house by a lake in autumn, oil painting",
                                      "portrait of an old sailor, pencil drawing",
                                      "a city street at night in the rain"};
  int steps = 6;  // of each drawing: noise of every level passes by
  uint64_t seed = 1;
  // Layers whose results in int8 are off by more than this part of their length stay in bf16.
  double most_error = 0.03;
};

// Returns a file for each denoiser of the model. Error kBadInput if options are out of range, or if
// the model has no file that its int8 weights could be put beside; kUnavailable if this processor
// has no kernels in int8; kIo if a file cannot be written.
std::vector<Int8Written> quantise(const std::string& path, LoadOptions load,
                                  const QuantiseOptions& options, const Watch& watch);

}  // namespace pangu::pipeline
