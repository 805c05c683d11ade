// The little of Unicode that every room may need: is it UTF-8, and is it Chinese. Normalisation and
// tokens are text's.
#pragma once
#include <string_view>

namespace pangu {

// Well-formed UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

// True if the text holds a Han character (U+3400-9FFF, F900-FAFF, 20000-3FFFF): a caption with one
// is counted as Chinese, any other as English. REQUIRES: is_utf8(text).
bool has_han(std::string_view text);

}  // namespace pangu
