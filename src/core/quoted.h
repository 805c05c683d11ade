// Words of a person that double quotes hold together.
#pragma once
#include <string>
#include <vector>

namespace pangu {

// The parts of a text between separators that stand outside of double quotes; one at least. Quotes
// stay in them.
std::vector<std::string> split_outside_quotes(const std::string& text, char separator);

// What stands in double quotes around the whole text; a text without them is left as it is.
std::string without_quotes(const std::string& text);

}  // namespace pangu
