// From the flags of `draw` and `coop` that say what a model is loaded with, to the options of
// load_model. Names of files and networks only; nothing is opened.
#pragma once
#include <string>

#include "app/commands.h"
#include "pipeline/load_options.h"

namespace pangu::app {

// A denoiser alone is a model whose other parts come from elsewhere.
const std::string& model_of(const LoadArgs& args);

// prompt: for its <lora:NAME:WEIGHT>, which --lora-dir has to hold. Error kBadInput names the flag,
// or the tag of the prompt.
pipeline::LoadOptions load_options(const LoadArgs& args, const std::string& prompt);

}  // namespace pangu::app
