// Converts any model that open_source opens to one folder in diffusers' layout, or to one file in
// the names that CompVis and Stability AI released checkpoints in. It goes tensor by tensor, so it
// needs the memory of one tensor, whatever the model's size. Only the type of weights may change.
// LoRAs and other adapters are no models and are not converted.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/progress.h"
#include "pipeline/load_options.h"

namespace pangu::pipeline {

struct ConvertOptions {
  std::string dtype = "bf16";  // type of floating tensors: "bf16", "f16" or "f32"
  // May write to a folder that has files, whose model is removed, or replace a single file.
  bool overwrite = false;
  std::string tokenizers;  // folder with the vocabularies that single files lack
  LoadOptions load;        // parts in place of the source's own
  // Weights in place of a component's, by its tensors' names. If there are any, only they change
  // their type to `dtype`.
  std::map<std::string, std::map<std::string, at::Tensor>> trained;
  std::function<void(nlohmann::json& index)> change_index;  // of model_index.json; may be empty
};

struct Converted {
  std::string family;  // "SDXL base"
  // The _class_name in model_index.json; of a single file its modelspec.architecture.
  std::string pipeline;
  std::vector<std::string> components;
  uint64_t size_bytes = 0;  // size of the written weights
};

// Whether `path` names a single file to write, and no folder: it ends in ".safetensors".
bool is_single_file_name(const std::string& path);

// Writes `out`, by its name a folder or a single file (pipeline/convert/convert_single_file.h says
// more of that). A folder is made if need be; model_index.json comes last, so that a folder without
// it is no model. A folder's own configurations, tokenizers and index are kept; a safety checker is
// left out. PanGu-Draw 3's pair becomes unet/ (structure) and unet_texture/.
// Throws kBadInput for a source that is no model that this program draws with, an `out` that is
// there already or is the source, or a number that f16 cannot hold; throws kIo if the disk is full.
Converted convert_model(const std::string& source, const std::string& out,
                        const ConvertOptions& options, const OnProgress& on_progress = {});

}  // namespace pangu::pipeline
