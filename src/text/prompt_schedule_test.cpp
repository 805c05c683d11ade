// The phases of Stable Diffusion web UI's own documentation and doctests, restated.
#include "text/prompt_schedule.h"

#include <doctest/doctest.h>

using namespace pangu::text;

namespace {

using Phases = std::vector<PromptPhase>;

Phases of(std::string_view prompt, int steps = 10) { return prompt_phases(prompt, steps); }

}  // namespace

TEST_CASE("a prompt without editing is one phase, as it is written") {
  for (const char* prompt :
       {"test", "a (red:1.3) [blue] fox", "a [unbalanced", "[a:b]", "[a:b:c:3]", "\\[a:b:3\\]",
        "a \\[b|c\\]", "a | b", "((a][:b:c", "[", "]", "\\", ""}) {
    CAPTURE(prompt);
    CHECK(of(prompt) == Phases{{10, prompt}});
  }
}

TEST_CASE("a prompt is edited at a step or at a share of the steps") {
  CHECK(of("a [b:3]") == Phases{{3, "a "}, {10, "a b"}});
  CHECK(of("a [b: 3]") == Phases{{3, "a "}, {10, "a b"}});
  CHECK(of("a [b:.5] c") == Phases{{5, "a  c"}, {10, "a b c"}});
  CHECK(of("a [b:c:0.25]") == Phases{{2, "a b"}, {10, "a c"}});
  CHECK(of("a [b::0.5]") == Phases{{5, "a b"}, {10, "a "}});
  CHECK(of("a [b : c : 1] d") == Phases{{1, "a b  d"}, {10, "a  c  d"}});
  CHECK(of("a [b:c:0]") == Phases{{10, "a c"}});
  CHECK(of("a [b:c:0.01]") == Phases{{10, "a c"}});
  CHECK(of("a [b:c:99]") == Phases{{10, "a b"}});
  CHECK(of("a [b:c:1.0]") == Phases{{10, "a b"}});
  CHECK(of("a [b:c:-1]") == Phases{{10, "a c"}});
}

TEST_CASE("editing nests, beside and inside of weights") {
  CHECK(of("a [[[b]]:2]") == Phases{{2, "a "}, {10, "a [[b]]"}});
  CHECK(of("[(a:2):3]") == Phases{{3, ""}, {10, "(a:2)"}});
  CHECK(of("(a [b:c:3]:1.2)") == Phases{{3, "(a b:1.2)"}, {10, "(a c:1.2)"}});
  CHECK(of("a[b:[c:d:2]:1]e") == Phases{{1, "abe"}, {2, "ace"}, {10, "ade"}});
  CHECK(of("((a][:b:c [d:3]") == Phases{{3, "((a][:b:c "}, {10, "((a][:b:c d"}});
  CHECK(of("a [{b|d{:.5] c") == Phases{{5, "a  c"}, {10, "a {b|d{ c"}});
  CHECK(of("[a\\:b:c:3]") == Phases{{3, "a\\:b"}, {10, "c"}});
}

TEST_CASE("alternatives take turns, one a step") {
  CHECK(of("[a|(b:1.1)]", 4) == Phases{{1, "a"}, {2, "(b:1.1)"}, {3, "a"}, {4, "(b:1.1)"}});
  CHECK(of("[fe|]male", 3) == Phases{{1, "female"}, {2, "male"}, {3, "female"}});
  CHECK(of("[fe|||]male", 6) == Phases{{1, "female"}, {4, "male"}, {5, "female"}, {6, "male"}});
  CHECK(of("[a|[b:c:2]]", 4) == Phases{{1, "a"}, {2, "b"}, {3, "a"}, {4, "c"}});
}

TEST_CASE("brackets of any depth and number end in phases") {
  const std::string deep(20000, '[');
  CHECK(of(deep) == Phases{{10, deep}});
  CHECK(of(deep + "a" + std::string(20000, ']')).size() == 1);
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "[a:b:" + std::to_string(i % 20) + "] ";
  CHECK(of(many, 20).size() == 20);
}

TEST_CASE("syntax that means more than words is found") {
  CHECK(syntax_in("a red (fox) in [deep] snow, 3:1") == "");
  CHECK(syntax_in("a (red fox:1.3)") == "(red fox:1.3)");
  CHECK(syntax_in("a [red:blue:0.5] fox") == "[red:blue:0.5]");
  CHECK(syntax_in("a [red|blue] fox") == "[red|blue]");
  CHECK(syntax_in("a fox BREAK snow") == "BREAK");
  CHECK(syntax_in("a fox AND snow") == "AND");
  CHECK(syntax_in("BREAKING SAND") == "");
  CHECK(syntax_in("<lora:ink:0.8> a fox") == "<lora:ink:0.8>");
}

TEST_CASE("AND joins prompts, each with its weight") {
  const auto shown = [](const char* prompt) {
    std::string text;
    for (const JoinedPrompt& part : joined_prompts(prompt)) {
      text += "<" + part.prompt + "*" + std::to_string(part.weight).substr(0, 4) + ">";
    }
    return text;
  };
  CHECK(shown("a cat AND a dog :0.5 AND (snow:1.2)") ==
        "<a cat*1.00><a dog*0.50><(snow:1.2)*1.00>");
  CHECK(shown("a cat:1.2 AND a dog:-.3") == "<a cat*1.20><a dog*-0.3>");
  CHECK(shown("a and b, LANDSCAPE, SAND, AND_") == "<a and b, LANDSCAPE, SAND, AND_*1.00>");
  CHECK(shown(" wide 16:9") == "< wide 16:9*1.00>");
  CHECK(shown("AND") == "<*1.00><*1.00>");
}

TEST_CASE("the end of a text that is too long is told by whole words") {
  const auto at_most = [](size_t bytes) {
    return [bytes](std::string_view text) { return text.size() <= bytes; };
  };
  CHECK(words_behind("a red fox", at_most(9)) == "");
  CHECK(words_behind("a red fox", at_most(8)) == "fox");
  CHECK(words_behind("a red fox", at_most(6)) == "fox");
  CHECK(words_behind("a red fox", at_most(5)) == "fox");
  CHECK(words_behind("a red fox", at_most(4)) == "red fox");
  // Spaces at the end are nothing to tell of.
  CHECK(words_behind("a red fox ", at_most(9)) == "");
  // Chinese has no spaces: three bytes a character.
  CHECK(words_behind("\u7ea2\u8272\u7684\u72d0\u72f8", at_most(7)) == "\u7684\u72d0\u72f8");
}
