#include "core/quoted.h"

#include <doctest/doctest.h>

using namespace pangu;

using Parts = std::vector<std::string>;

TEST_CASE("separators inside of double quotes part nothing") {
  CHECK(split_outside_quotes("a,\"b, c\",d", ',') == Parts{"a", "\"b, c\"", "d"});
  CHECK(split_outside_quotes("", ',') == Parts{""});
  CHECK(split_outside_quotes("a,,", ',') == Parts{"a", "", ""});
  CHECK(split_outside_quotes("a \"b c", ' ') == Parts{"a", "\"b c"});
}

TEST_CASE("only quotes around the whole text are taken away") {
  CHECK(without_quotes("\"a b\"") == "a b");
  CHECK(without_quotes("\"\"").empty());
  for (const char* text : {"", "\"", "a", "\"a", "a\"", "a \"b\""}) {
    CHECK(without_quotes(text) == text);
  }
}
