// Text whose UTF-8 was read as Latin-1 or Windows-1252 ("Ã©" for "é", "â€œ" for a quote) and its
// repair, as ftfy 6.3 does it (Robyn Speer; the tables of suspicious neighbours are its facts).
// Not covered: the other eight encodings that ftfy tries, and characters that only they have.
#pragma once
#include <string>
#include <string_view>

namespace pangu::text {

// True if two or three neighbouring characters hardly occur in text that was read correctly.
bool is_bad(std::u32string_view text);

// ftfy.fix_encoding: while the text is bad, reads its bytes again as UTF-8, whole or in parts.
std::u32string fix_encoding(std::u32string_view text);

// C1 control characters as Windows-1252 has them.
std::u32string fix_c1_controls(std::u32string_view text);
// One byte read as Windows-1252; a byte without a meaning there stays.
char32_t windows_1252(unsigned char byte);

}  // namespace pangu::text
