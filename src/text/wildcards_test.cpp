#include "text/wildcards.h"

#include <doctest/doctest.h>

#include <set>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::text;

namespace {

std::vector<std::string> list(const std::string& name) {
  if (name == "animal") return {"cat", "dog", "{red|grey} fox"};
  if (name == "circle") return {"__circle__"};
  if (name == "empty") return {};
  throw bad_input("wildcard '" + name + "'", "a list", "none");
}

std::set<std::string> all_of(const std::string& prompt) {
  std::set<std::string> found;
  for (uint64_t seed = 0; seed < 200; ++seed) found.insert(with_choices(prompt, list, seed));
  return found;
}

}  // namespace

TEST_CASE("every choice of a prompt is made, by the seed") {
  CHECK(all_of("a {red|blue} hat") == std::set<std::string>{"a red hat", "a blue hat"});
  CHECK(all_of("a __animal__") ==
        std::set<std::string>{"a cat", "a dog", "a red fox", "a grey fox"});
  CHECK(all_of("{a {big|small} one|}") == std::set<std::string>{"a big one", "a small one", ""});
  CHECK(all_of("{__animal__|x}").size() == 5);
  CHECK(with_choices("{a|b|c} {a|b|c}", list, 7) == with_choices("{a|b|c} {a|b|c}", list, 7));
}

TEST_CASE("what is no choice stays as it is") {
  for (const char* prompt :
       {"a cat", "{a cat}", "a_b __ c", "__a b__", "}{ {", "(a:1.2) [b|c]", ""}) {
    CHECK(with_choices(prompt, list, 1) == prompt);
  }
}

TEST_CASE("a list that is not there, is empty or never ends is refused by its name") {
  CHECK(contains(refusal_of([] { with_choices("__none__", list, 1); }), "none"));
  CHECK(contains(refusal_of([] { with_choices("__empty__", list, 1); }), "empty"));
  CHECK(contains(refusal_of([] { with_choices("__circle__", list, 1); }), "each other"));
}

TEST_CASE("a file of prompts has one a line") {
  CHECK(prompt_lines("\xEF\xBB\xBF"
                     "a cat\r\n\n# no\n  a dog \n") == std::vector<std::string>{"a cat", "a dog"});
  CHECK(prompt_lines("").empty());
}
