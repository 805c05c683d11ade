// Prompts with choices in them, as the extension "dynamic prompts" of the web UI writes them:
// "a {red|blue|} __animal__" takes one of the alternatives, and one line of the list "animal".
// Where lists are is the caller's to know.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pangu::text {

// The lines of the list of this name; throws if there is none.
using WildcardList = std::function<std::vector<std::string>(const std::string& name)>;

// Every choice made, by the seed: the same seed makes the same. What is chosen may hold choices
// itself. Braces without a "|" stay as they are. Error kBadInput for a list without lines, and
// where choices go on for ever.
std::string with_choices(std::string_view prompt, const WildcardList& list, uint64_t seed);

// The prompts of a text: its lines without those that are blank or begin with "#".
std::vector<std::string> prompt_lines(std::string_view text);

}  // namespace pangu::text
