// A denoiser in int8 (LoadOptions::precision): which of its layers, and the file beside the model
// that keeps this and the rounded weights.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/watch.h"
#include "nn/int8_plan.h"
#include "pipeline/families/source.h"

namespace pangu::pipeline {

// What a drawing in bf16 found out about its denoisers: the errors of their layers in int8, by the
// file that keeps a denoiser's int8 weights.
struct Int8Measured {
  std::mutex mutex;  // of `parts`, not of what is in them
  std::map<std::string, nn::Int8Errors> parts;
};

// The file that keeps a denoiser's int8 weights: that of its weights with ".int8" behind the name,
// which no search for weights takes for a model. Empty for a component without files.
std::string int8_file_of(const Component& component);

// The layers of a denoiser's network to compute in int8: those of its file, with their weights as
// views of the mapped file, or the usual ones if there is none. A file of other weights than the
// component's is warned of and not used. If the network's weights were changed (`changed`: LoRAs
// are in them), layers are the file's, and are rounded anew. Error kBadInput if the file is
// damaged.
nn::Int8Plan int8_plan_of(const Component& component, const torch::nn::Module& network,
                          bool changed, const Watch& watch);

struct Int8Written {
  std::string path;
  std::vector<std::string> kept;  // layers that stay in bf16, the one with the greatest error first
  int64_t layers = 0;             // in int8
  double middle_error = 0;        // the median of theirs
  int64_t size_bytes = 0;
};

// Writes a denoiser's file, of all layers whose measured error is at most `most_error`. Error kIo
// if it cannot be written.
Int8Written write_int8(const Component& component, const nn::Int8Errors& errors, double most_error,
                       const Watch& watch);

}  // namespace pangu::pipeline
