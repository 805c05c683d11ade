// Flags of the benchmarks.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "core/error.h"

namespace pangu::bench {

// Reads the flags; the process's exit code if it shall end: 0 after --help, 2 after a wrong flag.
inline std::optional<int> stop_code(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

// What main() of a benchmark does: reads the flags of `app`, then runs. Returns the process's exit
// code, that of the error if one ends it.
template <class Run>
int run_with_flags(CLI::App& app, int argc, char** argv, const Run& run) {
  if (const auto code = stop_code(app, argc, argv)) return *code;
  try {
    run();
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return exit_code(error.code());
  }
  return 0;
}

}  // namespace pangu::bench
