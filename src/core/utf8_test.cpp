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

TEST_CASE("a text file is read as its byte order mark says") {
  using namespace std::string_literals;
  CHECK(utf8_of_text_file("a é 猫") == "a é 猫");
  CHECK(utf8_of_text_file("\xEF\xBB\xBF猫") == "猫");
  CHECK(utf8_of_text_file("\xFF\xFE"
                          "a\0\xE9\0\x2B\x73\x3D\xD8\x00\xDE"s) == "aé猫😀");
  CHECK(utf8_of_text_file("\xFE\xFF"
                          "\0a\0\xE9\x73\x2B\xD8\x3D\xDE\x00"s) == "aé猫😀");
  CHECK(utf8_of_text_file("") == "");
}

TEST_CASE("a text file of another encoding, or cut, is not read") {
  using namespace std::string_literals;
  CHECK_FALSE(utf8_of_text_file("\xBA\xEC\xC9\xAB").has_value());  // GBK
  CHECK_FALSE(utf8_of_text_file("\xFF\xFE"
                                "a"s)
                  .has_value());                                    // half a unit
  CHECK_FALSE(utf8_of_text_file("\xFF\xFE\x3D\xD8"s).has_value());  // half a pair
  CHECK_FALSE(utf8_of_text_file("\xFF\xFE\x3D\xD8"
                                "a\0"s)
                  .has_value());  // no second half
  CHECK_FALSE(utf8_of_text_file("\xFF\xFE\x00\xDC"
                                "a\0"s)
                  .has_value());  // no first half
}
