// A line of a file of prompts, as the web UI's script "Prompts from file" reads it: a prompt, and
// flags of its own behind it ("a red fox --steps 10 --model mini").
#pragma once
#include <string>

#include "pipeline/request_fields.h"

namespace pangu::pipeline {

struct PromptLine {
  RequestWords words;  // of fields that the line says, the prompt among them
  std::string model;   // of --model or --sd_model; empty: that of all lines
};

// A flag is a word that begins with "--" and a letter; its value goes on up to the next flag, and
// may stand in double quotes. Error kBadInput, which names the line, for a flag that no request
// has, and for one without a value.
PromptLine prompt_line_from(const std::string& line);

}  // namespace pangu::pipeline
