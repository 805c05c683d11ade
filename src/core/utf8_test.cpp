#include "core/utf8.h"

#include <doctest/doctest.h>

#include <string>

using namespace pangu;

TEST_CASE("well-formed UTF-8 is accepted up to the last code point") {
  for (const char* text : {"", "a", "é", "蓝", "😀", "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    CAPTURE(text);
    CHECK(is_utf8(text));
  }
}

TEST_CASE("malformed UTF-8 is refused: cut, overlong, surrogate, too large, stray") {
  for (const char* text :
       {"\x80", "\xC2", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE8\x93", "\xFF",
        "ab\xE8"
        "c\x9D"}) {
    CHECK_FALSE(is_utf8(text));
  }
}

TEST_CASE("a caption is Chinese if it holds a Han character") {
  CHECK(has_han("a 猫"));
  CHECK(has_han("𠀀"));
  CHECK_FALSE(has_han("a cat, café ，"));
  CHECK_FALSE(has_han("ねこ"));
}
