// Flags of the benchmarks.
#pragma once
#include <CLI/CLI.hpp>
#include <optional>

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

}  // namespace pangu::bench
