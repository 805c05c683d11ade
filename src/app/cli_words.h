// The words of a command line before and after they are parsed: spellings that people bring along,
// and what is said of words that are wrong.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace pangu::app {

// The words behind the program's name as the parser knows them: "help draw" is "draw --help",
// "version" is "--version", and "_" in a flag's name is "-".
std::vector<std::string> usual_words(std::vector<std::string> words);

// The same words, but that CLI11 leaves the brackets of "[red:blue:0.5]" alone: it takes a word in
// brackets for a list where an option takes several words, as the prompt does. Such a word gets a
// blank at its end, which joined_prompt takes away. Values of flags stay as they are.
std::vector<std::string> with_brackets_kept(const CLI::App& app, std::vector<std::string> words);

// The line for a first word that is no subcommand, as CLI11 says nothing of it beside --help; empty
// where it is one, or a flag.
std::string refusal_of_first_word(const CLI::App& app, const std::vector<std::string>& words);

// The line for a command line that does not parse, after app.parse() threw `error`: it names the
// wrong word, and hints at the nearest right ones of the subcommand that was said.
std::string refusal_of(const CLI::App& app, const CLI::ParseError& error);

// A prompt of several words that were not quoted, joined. Error kBadInput if a picture's name is
// among them, which is meant as something else.
std::string joined_prompt(const std::vector<std::string>& words);

}  // namespace pangu::app
