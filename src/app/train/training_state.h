// A run's state as files of bounded size, to move it to another machine and back: checkpoint,
// metrics and what it has exported. Not data, caches or configuration: those the other machine has.
#pragma once
#include <cstddef>
#include <string>

#include "train/config.h"

namespace pangu::app {

// Writes config.output_dir's state into `folder` and says so on stdout. Error kBadInput if there is
// no checkpoint yet.
void export_state(const train::TrainConfig& config, const std::string& folder, size_t piece_bytes);

// Reads it back into config.output_dir. Error kBadInput, with nothing changed, if a piece is
// missing or damaged or, unless `replace`, if output_dir has a checkpoint of other settings or more
// steps.
void import_state(const train::TrainConfig& config, const std::string& folder, bool replace);

}  // namespace pangu::app
