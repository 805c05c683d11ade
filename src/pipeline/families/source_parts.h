// Parts of a model out of files of their own, or out of files that hold others too. What source.cpp
// and source_parts.cpp share; not a contract of the room (source.h is).
#pragma once
#include <string>

#include "pipeline/families/source.h"

namespace pangu::pipeline {

// A folder in diffusers' layout. Error kBadInput names the file that is missing or wrong.
Source open_folder(const std::string& path);

// Puts the denoiser, the text encoders and the prediction type of `options` in place of the model's
// own. Error kBadInput names the flag.
void replace_parts(Source& source, const LoadOptions& options);

// Family and description of the parts that a model has by now.
void recognise_parts(Source& source);

// Error kBadInput by the name of what is known and not supported: a kind of file, a kind of noise.
void refuse_unsupported(const std::string& path, const io::Recognised& what);
void refuse_noise(const std::string& path, const io::Training& training);

}  // namespace pangu::pipeline
