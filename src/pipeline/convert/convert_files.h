// Makes the small files of a model folder that a single weight file lacks: configurations of
// components and of the noise schedule, tokenizers, and the index, in the forms that diffusers and
// transformers read. convert.cpp writes the weights.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/families/source.h"

namespace pangu::pipeline {

// The class of the model's pipeline in diffusers: "StableDiffusionXLPipeline" and so on;
// "PanGuDrawPipeline" for a model with two experts.
std::string pipeline_class_of(const Source& source);

// Returns the model_index.json for the components that the source has.
nlohmann::json index_of(const Source& source);

// Returns the config.json of "unet", "vae", "text_encoder", ... shapes: those of the tensors as
// they will be written; dtype: torch's name of their type ("bfloat16").
nlohmann::json config_of(const Source& source, const std::string& component,
                         const nn::TensorShapes& shapes, const std::string& dtype);

nlohmann::json scheduler_config_of(const Source& source);

// Returns files as their path inside the folder and their text: tokenizers of the family's
// encoders, and the preprocessor configuration of an image encoder. tokenizers: models/tokenizers
// of this program. Throws kBadInput or kIo if a vocabulary is not there.
std::map<std::string, std::string> reading_files_of(const Source& source,
                                                    const std::string& tokenizers);

}  // namespace pangu::pipeline
