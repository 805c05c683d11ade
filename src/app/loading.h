// From the flags of `draw` and `coop` that say what a model is loaded with, to the options of
// load_model. Names of files and networks only; nothing is opened.
#pragma once
#include <optional>
#include <string>

#include "app/commands.h"
#include "pipeline/load_options.h"

namespace pangu::app {

// What a picture of --from was drawn with, which flags replace.
struct KeptLoading {
  pipeline::LoadOptions options;
  // Whose <lora:NAME:WEIGHT> are among the options' LoRAs; none of a foreign picture.
  std::optional<std::string> prompt;
};

// prompt: for its <lora:NAME:WEIGHT>, which --lora-dir has to hold unless they are kept. Error
// kBadInput names the flag, or the tag of the prompt.
pipeline::LoadOptions load_options(const LoadArgs& args, const std::string& prompt,
                                   const KeptLoading& kept = {});

}  // namespace pangu::app
