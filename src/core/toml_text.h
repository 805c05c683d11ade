// A look at TOML before the parser sees it. TOML 1.0 is ASCII outside of strings and comments;
// toml++ 3.3 has undefined behaviour on some other characters there (its test for Unicode blanks
// reaches an "unreachable" line for U+3001, U+FE51, ...), and its messages do not name a Chinese
// comma.
#pragma once
#include <string>
#include <string_view>

namespace pangu {

// Error kBadInput "NAME:LINE: ..." at the first non-ASCII character outside of strings and
// comments. Malformed strings are left to the parser.
void check_toml_characters(std::string_view text, const std::string& name);

}  // namespace pangu
