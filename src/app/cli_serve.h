// The flags of `serve` and `worker`.
#pragma once
#include <CLI/CLI.hpp>

#include "app/commands.h"

namespace pangu::app {

void add_serve(CLI::App& app, ServeArgs& args);
void add_worker(CLI::App& app, WorkerArgs& args);

}  // namespace pangu::app
