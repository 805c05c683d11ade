// Several requests of one model, drawn one after another: the cells of --grid, the prompts of
// --prompts.
#pragma once
#include <vector>

#include "app/commands.h"
#include "app/grid.h"
#include "pipeline/draw.h"

namespace pangu::app {

// Who draws, and the pixels of the files that all requests name.
struct Subject {
  const pipeline::Model& model;
  const pipeline::Pictures& pictures;
};

// requests: resolved, of one picture each. The hooks are those of one drawing: pictures are counted
// on, and the progress is that of all.
pipeline::Drawing draw_all(const Subject& subject, const std::vector<pipeline::Request>& requests,
                           const pipeline::DrawHooks& hooks);

// The resolved requests of a grid's cells, row by row. shared: with a seed. Error kBadInput if it
// asks for more than one picture, or names the value that a cell cannot have.
std::vector<pipeline::Request> cells_of(const Grid& grid, const pipeline::Request& shared,
                                        const pipeline::RequestRules& rules);
// Draws them, and gives the hooks one picture of them all; where it is stopped, with the cells that
// are done.
pipeline::Drawing draw_grid(const Grid& grid, const Subject& subject,
                            const std::vector<pipeline::Request>& cells,
                            const pipeline::DrawHooks& hooks);

// The lines of --prompts; none if it is not said. Error kBadInput for a prompt beside it, a file
// without prompts and tags of LoRAs; kIo if it cannot be read.
std::vector<std::string> prompts_of(const DrawArgs& args);
// A resolved request for every picture of these prompts: `shared.count` of each, seeds counting up
// from `shared.seed`, choices made by the seed (text/wildcards.h). Lists are NAME.txt in
// --wildcards, or beside the file of prompts.
std::vector<pipeline::Request> requests_of(const std::vector<std::string>& prompts,
                                           const DrawArgs& args, const pipeline::Request& shared,
                                           const pipeline::RequestRules& rules);

}  // namespace pangu::app
