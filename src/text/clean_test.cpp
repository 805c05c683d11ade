// The text cleaning of open_clip, step by step; agreement with ftfy on thousands of texts is
// tests/parity/tokenizer_test.cpp.
#include "text/clean.h"

#include <doctest/doctest.h>

#include "text/html_entities.h"
#include "text/mojibake.h"
#include "text/unicode.h"
#include "text/utf8.h"

using namespace pangu::text;

namespace {

std::string fixed(std::string_view text) { return encode_utf8(fix_text(decode_utf8(text))); }
std::string unescaped(std::string_view text) {
  return encode_utf8(unescape_html(decode_utf8(text)));
}
std::string cleaned(std::string_view text) {
  return encode_utf8(clean_open_clip(decode_utf8(text)));
}

}  // namespace

TEST_CASE("full-width letters, quotes and ligatures become plain") {
  CHECK(fixed("ＡＢＣ，１２３！　x") == "ABC,123! x");
  CHECK(fixed("“a” ‘b’ ʼc") == "\"a\" 'b' 'c");
  CHECK(fixed("ﬁne ﬂag ﬃ ﬅ Ǆ ŉ") == "fine flag ffi \u017Ft DŽ 'n");
  CHECK(fixed("ｱｶﾞ") == "アガ");
  CHECK(fixed("《书名》。") == "《书名》。");
}

TEST_CASE("control characters and terminal escapes vanish, line ends become one kind") {
  CHECK(fixed("a\x01\x7F\xEF\xBB\xBF"
              "b") == "ab");
  CHECK(fixed("\x1B[36;44mblue\x1B[0m") == "blue");
  CHECK(fixed("a\r\nb\rc\xE2\x80\xA8"
              "d") == "a\nb\nc\nd");
  CHECK(fixed("e\xCC\x81") == "\xC3\xA9");
}

TEST_CASE("text that was read as Latin-1 or Windows-1252 is read again") {
  CHECK(fixed("cafÃ©") == "café");
  CHECK(fixed("â€œquotesâ€\xC2\x9D") == "\"quotes\"");
  CHECK(fixed("donâ€™t") == "don't");
  CHECK(fixed("ä¸\xC2\xAD"
              "æ–‡ï¼Œ") == "中文,");
  CHECK(fixed("ðŸ˜€") == "😀");
  CHECK(fixed("ÃƒÂ©") == "é");                              // twice
  CHECK(fixed("voilÃ  le travail") == "voilà le travail");  // the no-break space was lost
  CHECK(fixed("红 cafÃ© 猫") == "红 café 猫");              // in parts
  CHECK(fixed("doesn\xC2\x92t") == "doesn't");
}

TEST_CASE("text that was read correctly stays") {
  for (const char* text : {"L'été à la plage", "Ångström", "piñata ©2020", "中文，猫", "£5 €6",
                           "naïve", "😀👍🏽", "ÀÉÎ", "¿Qué?"}) {
    CHECK_FALSE(is_bad(decode_utf8(text)));
  }
}

TEST_CASE("entities are decoded, by ftfy only with semicolon and without a less-than sign") {
  CHECK(fixed("&eacute;&EACUTE;&#39;&hellip;") == "éÉ'…");
  CHECK(fixed("&szlig; &SZLIG;") == "ß SS");
  CHECK(fixed("&eacute &nope; &") == "&eacute &nope; &");
  CHECK(fixed("<b> &eacute;\n&eacute;") == "<b> &eacute;\n&eacute;");
  CHECK(unescaped("&eacute &notit; &amp;lt; &#x41;&#65 &#0;&#128;&#1114112;") ==
        "é ¬it; &lt; AA \uFFFD€\uFFFD");
  CHECK(unescaped("&#1;&#xFFFE;|&;&#;&#x;") == "|&;&#;&#x;");
  CHECK(unescaped("&NotEqualTilde;") == "\u2242\u0338");
  CHECK(html_entity("copy", true).has_value());
  CHECK_FALSE(html_entity("hellip", true).has_value());
  CHECK_FALSE(html_entity("", false).has_value());
}

TEST_CASE("the whole cleaning ends in lower case with single spaces") {
  CHECK(cleaned("  A \n\t Cat，“B”　 ") == "a cat,\"b\"");
  CHECK(cleaned("&amp;lt;B&gt;") == "<b>");
  CHECK(cleaned("ΟΔΥΣΣΕΥΣ Σ ΑΣ'Α") == "οδυσσευς σ ασ'α");
  CHECK(cleaned("İ") == "i\u0307");
  CHECK(cleaned("").empty());
}

TEST_CASE("a final sigma needs a letter before it and none behind it") {
  CHECK(to_lower_final_sigma(U"ΑΣ") == U"ας");
  CHECK(to_lower_final_sigma(U"Σ") == U"σ");
  CHECK(to_lower_final_sigma(U"ΑΣΑ") == U"ασα");
  CHECK(to_lower_final_sigma(U"ΑΣ.") == U"ας.");
  CHECK(to_lower_final_sigma(U"Α\u0301Σ\u0301Α") == U"α\u0301σ\u0301α");
  CHECK(to_lower(U"ΑΣ") == U"ασ");
}
