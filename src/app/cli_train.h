// The flags of `pangu-draw train`, apart from those of all other commands (app/cli.cpp).
#pragma once
#include <CLI/CLI.hpp>

#include "app/commands.h"

namespace pangu::app {

// add_threads: adds --threads, as every command has it.
void add_train(CLI::App& app, TrainArgs& args, void (*add_threads)(CLI::App* command));

}  // namespace pangu::app
