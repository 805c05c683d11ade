// Flags that many commands have.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>

namespace pangu::app {

// Not below 0: CLI11 would wrap a negative number around.
CLI::Option* add_seed(CLI::App* cmd, uint64_t& seed, const char* what);

void add_threads(CLI::App* cmd);

}  // namespace pangu::app
