// Any model that open_source opens -> one folder in diffusers' layout, tensor by tensor: the memory
// it takes is one tensor's, whatever the model's size. Weights change their type at most, never
// their values' meaning; LoRAs and other adapters are not models and stay what they are.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/progress.h"

namespace pangu::pipeline {

struct ConvertOptions {
  std::string dtype = "bf16";  // of floating tensors: "bf16", "f16" or "f32"
  bool overwrite = false;      // into a folder that has files in it; its model is removed
  std::string tokenizers;      // folder with the vocabularies that single files lack
};

struct Converted {
  std::string family;    // "SDXL base"
  std::string pipeline;  // model_index.json's _class_name
  std::vector<std::string> components;
  uint64_t size_bytes = 0;  // of the weights written
};

// Writes `out`, which is made if need be; model_index.json comes last, so that a folder without it
// is no model. A folder's own configurations, tokenizers and index are kept; a safety checker is
// left out. PanGu-Draw 3's pair becomes unet/ (structure) and unet_texture/.
// Error kBadInput for what is no model that this program draws with, an `out` that is not empty or
// is the source, a number that f16 cannot hold; kIo if the disk is full.
Converted convert_model(const std::string& source, const std::string& out,
                        const ConvertOptions& options, const OnProgress& on_progress = {});

}  // namespace pangu::pipeline
