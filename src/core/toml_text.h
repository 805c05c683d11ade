// Checks a TOML text before the parser sees it: TOML 1.0 is ASCII outside of strings and comments,
// and toml++'s messages do not name a Chinese comma.
#pragma once
#include <string>
#include <string_view>

namespace pangu {

// Throws kBadInput "NAME:LINE: ..." at the first non-ASCII character outside of strings and
// comments, or the first key of more than 64 dots: such a key nests its tables so deeply that a
// recursive walk would overflow the stack. Malformed strings are left to the parser.
void check_toml_characters(std::string_view text, const std::string& name);

}  // namespace pangu
