// What `pangu-draw inspect` says of weights, as JSON and as a text for people: family, layout,
// components, precision, what is missing or left over. From names and shapes; reads at most some
// thousand bytes of weights (io::training_of).
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::app {

// {"kind", "path", "tensors", "parameters", "size_bytes", "parameters_by_dtype", "metadata",
//  "recognised": {"name", "family", "layout", "part", ...},
//  "components": [{"name", "tensors", "parameters", "parameters_by_dtype"}], "missing",
//  "unexpected", "skipped": {why: tensors}  (not of adapters),
//  "lora": {"made_for", "forms", "ranks", "alphas", "targets", "convolutions", "embeddings",
//           "ignored", "unsupported"},
//  "embeddings": {name: shape}  (of a textual inversion),
//  "problem": what contradicts its name,
//  "tensor_list": [{"name", "dtype", "shape"}]  (if every_tensor)}
nlohmann::ordered_json weights_report(const io::WeightsFile& file, const std::string& path,
                                      bool every_tensor);

// Of a diffusers folder: "recognised" for all of its components together.
nlohmann::ordered_json recognised_report(const io::Recognised& what);

// "F16", or "F16 98%, F32 2%".
std::string precision_text(const nlohmann::ordered_json& parameters_by_dtype);

// Everything but the table of files: recognised, components, LoRA, missing, unexpected.
std::string report_text(const nlohmann::ordered_json& report);

}  // namespace pangu::app
