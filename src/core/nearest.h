// Which known words a person may have meant by an unknown one, for the hints of errors.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pangu {

// Least number of bytes inserted, removed or replaced, or of neighbours swapped, that turns one
// word into the other (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b);

// The known words that are near, nearest first, `most` at most: those apart by a third of their
// length or less, or of which one is part of the other. Case of ASCII letters counts for nothing.
std::vector<std::string> nearest_words(const std::string& word,
                                       const std::vector<std::string>& known, size_t most = 3);

// "did you mean 'steps' or 'spacing'?"; empty if no known word is near. The form of a hint.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);

}  // namespace pangu
