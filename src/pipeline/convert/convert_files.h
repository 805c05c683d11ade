// The small files of a model folder that a single weight file leaves unsaid: configurations of
// components and of the noise schedule, tokenizers, and the index, in the forms that diffusers and
// transformers read. Weights are convert.cpp's.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/families/source.h"

namespace pangu::pipeline {

// "StableDiffusionXLPipeline" and so on; "PanGuDrawPipeline" for a model with two experts.
std::string pipeline_class_of(const Source& source);

// model_index.json for the components that the source has.
nlohmann::json index_of(const Source& source);

// config.json of "unet", "vae", "text_encoder", ... `shapes` are of the tensors as they will be
// written; `dtype` is the torch name of their type ("bfloat16").
nlohmann::json config_of(const Source& source, const std::string& component,
                         const nn::TensorShapes& shapes, const std::string& dtype);

nlohmann::json scheduler_config_of(const Source& source);

// Path inside the folder -> text: tokenizers of the family's encoders, and what prepares pictures
// for an image encoder. `tokenizers`: models/tokenizers of this program. Error kBadInput, kIo if a
// vocabulary is not there.
std::map<std::string, std::string> reading_files_of(const Source& source,
                                                    const std::string& tokenizers);

}  // namespace pangu::pipeline
