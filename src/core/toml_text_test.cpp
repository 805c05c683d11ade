#include "core/toml_text.h"

#include <doctest/doctest.h>

#include <string>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;

namespace {

std::string message_of(const std::string& text) {
  return refusal_of([&] { check_toml_characters(text, "x.toml"); });
}

}  // namespace

TEST_CASE("any language may stand in strings and comments") {
  for (const char* text : {"", "a = 1", "# 注释\na = '数据' # 好", "a = \"猫\\\"狗\" # é",
                           "a = '''\n多\n行'''", "a = \"\"\"猫\"\"狗\\\"\"\"\"\"\"", "a = '' # 空",
                           "\xEF\xBB\xBF"
                           "a = 1",
                           "a = \"\"\"\"\"\" # 空", "a = ['一', \"二\"]"}) {
    CAPTURE(text);
    CHECK(message_of(text) == "accepted");
  }
}

TEST_CASE("a character of another keyboard outside of them is named with its line") {
  CHECK(message_of("a = 1\nb = [1，2]").find("x.toml:2: expected ASCII") == 0);
  CHECK(message_of("a = [1、2]").find("found '、'") != std::string::npos);
  CHECK(message_of("a = “x”").find("found '“'") != std::string::npos);
  CHECK(message_of("名 = 1") != "accepted");
  CHECK(message_of("a = 'x\n猫'") != "accepted");  // the string ended with its line
  CHECK(message_of("# a\r猫") != "accepted");      // and so does a comment
  CHECK(message_of("a = '''x''' 猫") != "accepted");
  CHECK(message_of("a = '\\' 猫'") != "accepted");  // no escapes in literal strings
  CHECK(message_of("\xFF") != "accepted");
}
