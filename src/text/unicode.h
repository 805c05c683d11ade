// What a code point is (letter, number, white space, punctuation ...) and its lower case, for the
// tokenizers. The tables are utf8proc's (Unicode 14 or later), with the letters and numbers that
// Unicode 15 and 16 added listed here, as the regular expressions of the reference know them.
// Not covered: lower case of letters that are newer than utf8proc's tables (they stay).
#pragma once
#include <string>
#include <string_view>

namespace pangu::text {

bool is_letter(char32_t c);       // general categories L*
bool is_number(char32_t c);       // N*
bool is_white_space(char32_t c);  // the property White_Space (regular expression \s)
// What Python's str.split and str.strip remove: White_Space and U+001C..001F.
bool is_python_space(char32_t c);
bool is_decimal(char32_t c);          // Nd
bool is_punctuation(char32_t c);      // P*
bool is_nonspacing_mark(char32_t c);  // Mn
bool is_word(char32_t c);             // about \w: letters, marks, decimal digits, connectors
// Cc, Cf, Cn, Co (Cs cannot occur), by utf8proc's tables alone.
bool is_other(char32_t c);
bool is_private_use(char32_t c);        // Co
bool is_space_separator(char32_t c);    // Zs
bool is_control_or_format(char32_t c);  // Cc, Cf

// Lower case of every code point by itself (U+0130 becomes two); no rule for the final sigma.
std::u32string to_lower(std::u32string_view text);

// Python's str.lower(): as to_lower, but a capital sigma at the end of a word becomes the final one
// (Unicode 3.13, Final_Sigma).
std::u32string to_lower_final_sigma(std::u32string_view text);

// Without is_python_space characters at both ends.
std::u32string_view python_strip(std::u32string_view text);

}  // namespace pangu::text
