// Several requests in one command, drawn one after another: the cells of --grid, the prompts of
// --prompts; of one model, of several in turn, or of several that draw together.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.h"
#include "pipeline/draw.h"
#include "pipeline/grid.h"

namespace pangu::app {

struct Many {
  std::optional<pipeline::Grid> grid;
  std::vector<std::string> prompts;  // lines of the file
  std::string wildcards;             // folder of the lists in them
};

// said, model: the words of the command line, and its --model. of_picture: the grid of the picture
// that --from repeats. Error kBadInput for a grid that cannot be one, for a model beside a grid of
// models, for a prompt or a grid beside a file of prompts, for a file without prompts, and for tags
// of LoRAs in it; kIo if it cannot be read.
Many many_of(const ManyArgs& args, const pipeline::RequestWords& said, const std::string& model,
             const std::optional<pipeline::Grid>& of_picture);

// One of the requests: a cell, a picture of a prompt, or all that was asked for.
struct Wanted {
  pipeline::Request request;
  std::string model;  // its own one; empty: the drawing's
};

// All of them: grids row by row, each line of prompts as often as the count says, with seeds that
// count up and choices that the seed makes (text/wildcards.h). shared: with a seed. Error kBadInput
// names the value that a cell or a line cannot have, and refuses a count beside a grid.
std::vector<Wanted> wanted_of(const Many& many, const pipeline::Request& shared);

// The order in which they are drawn: those of one model behind each other, so that each model is
// read once.
std::vector<size_t> order_of(const std::vector<Wanted>& wanted);

// Draws request `index`, which gives its picture to the hooks.
using DrawOne = std::function<pipeline::Drawing(size_t index, const pipeline::DrawHooks& hooks)>;

// All pictures go to the hooks by their indices; the progress is that of all.
pipeline::Drawing draw_all(const std::vector<size_t>& order, const DrawOne& draw_one,
                           const pipeline::DrawHooks& hooks);

// The hooks get one picture of all cells; where it is stopped, with the cells that are done.
pipeline::Drawing draw_grid(const pipeline::Grid& grid, const std::vector<size_t>& order,
                            const DrawOne& draw_one, const pipeline::DrawHooks& hooks);

}  // namespace pangu::app
