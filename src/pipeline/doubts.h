// What a person should know of a request that is allowed: it is drawn, but perhaps not as they
// think. What is not allowed is an error of validate() (request.h).
#pragma once
#include "core/watch.h"
#include "pipeline/model.h"
#include "pipeline/request_fields.h"

namespace pangu::pipeline {

// Warns of: a size or shape far from the model's own; a style whose name the model does not know; a
// negative prompt without guidance; weights in the prompt that break pictures; and, of the words
// that a person `said` on the command line, those that change nothing. request: resolved.
void warn_of_doubts(const Model& model, const Request& request, const RequestWords& said,
                    const Watch& watch);

// Warns of LoRA weights far from 1.
void warn_of_doubts(const LoadOptions& options, const Watch& watch);

}  // namespace pangu::pipeline
