#include "data/brace_list.h"

#include <doctest/doctest.h>

#include "core/testing.h"

using namespace pangu;
using pangu::data::expand_braces;
using Names = std::vector<std::string>;

TEST_CASE("braces count with the digits that are written, and list") {
  CHECK(expand_braces("https://a/s-{000098..000101}.tar") ==
        Names{"https://a/s-000098.tar", "https://a/s-000099.tar", "https://a/s-000100.tar",
              "https://a/s-000101.tar"});
  CHECK(expand_braces("{8..10}") == Names{"8", "9", "10"});
  CHECK(expand_braces("{a,b}-{1..2}") == Names{"a-1", "a-2", "b-1", "b-2"});
  CHECK(expand_braces("plain.tar") == Names{"plain.tar"});
  CHECK(expand_braces("x{5..5}") == Names{"x5"});
}

TEST_CASE("patterns that are none are refused") {
  for (const char* bad : {"{1..", "{}", "{a}", "{3..1}", "{a..c}", "{0..1000000}", "{1..2..3}",
                          "{0..999}{0..999}{0..9}", "{-1..2}"}) {
    CHECK(contains(refusal_of([&] { expand_braces(bad); }), bad));
  }
}
