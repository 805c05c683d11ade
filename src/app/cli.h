// The door of the program: flags in, exit code out. Every subcommand is a plain struct of flags
// (commands.h) and one function; the command-line library is seen by cli.cpp alone.
#pragma once

namespace pangu::app {

// Runs the program. Never throws: every error becomes one line "pangu-draw: error: ..." on stderr.
// Exit codes: 0 done; 1 our own mistake; 2 bad flag, prompt, file or configuration; 3 input or
// output failed (disk full, permission); 4 a device, library or memory that this machine lacks.
int run_cli(int argc, const char* const* argv);

}  // namespace pangu::app
