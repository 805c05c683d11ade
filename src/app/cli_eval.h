// The flags of `eval` and of the commands below it, apart from those of all others (app/cli.cpp).
#pragma once
#include <CLI/CLI.hpp>

#include "app/commands.h"

namespace pangu::app {

struct EvalCommands {
  EvalArgs page;
  EvalCoopArgs coop;
  EvalPicturesArgs pictures;
  EvalModelArgs model;
  EvalAutoencoderArgs autoencoder;
};

void add_eval(CLI::App& app, EvalCommands& args);

// Runs what was parsed; the exit code.
int run_eval_command(const CLI::App& app, const EvalCommands& args);

}  // namespace pangu::app
