// What every room may need of Unicode: whether a text is UTF-8, and whether it is Chinese.
// Normalisation and tokens belong to the room text.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace pangu {

// Whether a text is well-formed UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates,
// nothing above U+10FFFF.
bool is_utf8(std::string_view text);

// True if the text holds a Han character (U+3400-9FFF, F900-FAFF, 20000-3FFFF): a caption with one
// is counted as Chinese, any other as English. REQUIRES: is_utf8(text).
bool has_han(std::string_view text);

// The bytes of a text file as UTF-8. A byte order mark says UTF-16 of either order, as editors of
// Windows write it, or UTF-8; without one the bytes must be UTF-8. Nothing if they are neither.
std::optional<std::string> utf8_of_text_file(std::string_view bytes);

}  // namespace pangu
