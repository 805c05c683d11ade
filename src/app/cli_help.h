// What is said of the flags beside their meaning: --help, the manual page, completion in shells.
// All of it is made from the tree of CLI::App that parses the command line, so that none can lag
// behind.
#pragma once
#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pangu::app {

// For --help: a line a flag, with its usual value behind what it means.
std::shared_ptr<CLI::Formatter> help_formatter();

// Words that may follow a flag, by the flag: {"--dtype", {"bf16", "f32"}}; for completion.
using FlagValues = std::map<std::string, std::vector<std::string>>;

inline constexpr const char* kShells[] = {"bash", "zsh", "fish"};
// A script that the shell reads (`source <(pangu-draw completion bash)`). Error kBadInput for
// another shell than kShells.
std::string completion_script(const CLI::App& app, const FlagValues& values,
                              const std::string& shell);

// A page of section 1 for man, in roff.
std::string manual_page(const CLI::App& app, const std::string& version);

}  // namespace pangu::app
