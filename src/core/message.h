// How values are written in messages. Nothing here depends on the locale.
#pragma once
#include <string>

namespace pangu {

// The shortest text that reads back as the same number: "7.5", "1e-05"; "nan", "infinity",
// "-infinity".
std::string number_text(double value);

// A person's text for a message: a text of more than 400 bytes is cut between UTF-8 characters, and
// its length follows.
std::string shortened(const std::string& text);

}  // namespace pangu
