// How values stand in messages. Nothing here depends on the locale.
#pragma once
#include <string>

namespace pangu {

// The shortest text that is read back as the same number: "7.5", "1e-05"; "nan", "infinity",
// "-infinity".
std::string number_text(double value);

// A person's words: of more than 400 bytes only the beginning, cut between characters of UTF-8, and
// the length.
std::string shortened(const std::string& text);

}  // namespace pangu
