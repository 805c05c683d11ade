// The flags of `serve` and `worker`.
#pragma once
#include <CLI/CLI.hpp>

#include "app/commands.h"

namespace pangu::app {

void add_serve(CLI::App& app, ServeArgs& args);
// `worker` of a server that started it has --socket, which is `args`; else it is `node`.
void add_worker(CLI::App& app, WorkerArgs& args, ServeArgs& node);
// Runs whichever was parsed; the exit code.
int run_worker_of(const CLI::App& app, const WorkerArgs& args, const ServeArgs& node);

}  // namespace pangu::app
