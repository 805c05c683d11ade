// The flags of commands that look at the files of models or write them anew.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>

#include "app/commands.h"

namespace pangu::app {

// Flags that look alike wherever a command has them (app/cli.cpp).
struct CommonFlags {
  void (*add_threads)(CLI::App* command);
  CLI::Option* (*add_seed)(CLI::App* command, uint64_t& seed, const char* what);
};

void add_inspect(CLI::App& app, InspectArgs& args);
void add_convert(CLI::App& app, ConvertArgs& args);
void add_quantize(CLI::App& app, QuantizeArgs& args, const CommonFlags& common);

}  // namespace pangu::app
