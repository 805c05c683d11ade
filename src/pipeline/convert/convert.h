// Converts any model that open_source opens to one folder in diffusers' layout. It goes tensor by
// tensor, so it needs the memory of one tensor, whatever the model's size. Only the type of weights
// may change. LoRAs and other adapters are no models and are not converted.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/progress.h"

namespace pangu::pipeline {

struct ConvertOptions {
  std::string dtype = "bf16";  // type of floating tensors: "bf16", "f16" or "f32"
  bool overwrite = false;      // may write to a folder that has files; its model is removed
  std::string tokenizers;      // folder with the vocabularies that single files lack
};

struct Converted {
  std::string family;    // "SDXL base"
  std::string pipeline;  // the _class_name in model_index.json
  std::vector<std::string> components;
  uint64_t size_bytes = 0;  // size of the written weights
};

// Writes `out`, which is made if need be; model_index.json comes last, so that a folder without it
// is no model. A folder's own configurations, tokenizers and index are kept; a safety checker is
// left out. PanGu-Draw 3's pair becomes unet/ (structure) and unet_texture/.
// Throws kBadInput for a source that is no model that this program draws with, an `out` that is not
// empty or is the source, or a number that f16 cannot hold; throws kIo if the disk is full.
Converted convert_model(const std::string& source, const std::string& out,
                        const ConvertOptions& options, const OnProgress& on_progress = {});

}  // namespace pangu::pipeline
