// What OpenAI's and open_clip's tokenizer does to a text before splitting it: ftfy 6.3 fix_text,
// HTML entities twice, white space, lower case. It changes most Chinese prompts: full-width commas
// and letters become ASCII, curly quotes straight.
// Of ftfy's repair of wrongly decoded text ("Ã©" for "é") the part for Latin-1 and Windows-1252 is
// here (text/mojibake.h); not covered: Windows-1250, 1251, 1253, 1254, 1257, ISO 8859-2, MacRoman
// and cp437, and the WTF-8 and CESU-8 variants of UTF-8.
#pragma once
#include <string>
#include <string_view>

namespace pangu::text {

// ftfy.fix_text with its defaults: entities (unless the text holds '<'), mojibake, C1 controls,
// ligatures, character width, quotes, line breaks, terminal escapes, control characters, NFC; line
// by line, each until nothing changes.
std::u32string fix_text(std::u32string_view text);

// Python's html.unescape: named and numeric character references of HTML 5, also those without a
// semicolon.
std::u32string unescape_html(std::u32string_view text);

// The whole: fix_text, unescape_html twice, white space to single spaces, lower case (with the
// final sigma).
std::u32string clean_open_clip(std::u32string_view text);

}  // namespace pangu::text
