#include "pipeline/prompt_line.h"

#include <doctest/doctest.h>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::pipeline;

TEST_CASE("a line is a prompt, with flags of its own behind it") {
  const PromptLine plain = prompt_line_from("a red fox -- in snow, 3-d");
  CHECK(plain.words == RequestWords{{"prompt", {"a red fox -- in snow, 3-d"}}});
  CHECK(plain.model.empty());
  const PromptLine line = prompt_line_from(
      "a fox --steps 10 --cfg_scale=3.5 --negative_prompt \"blurry, dark\" --sampler_name DPM++ 2M "
      "--model mini");
  CHECK(line.words == RequestWords{{"prompt", {"a fox"}},
                                   {"steps", {"10"}},
                                   {"guidance", {"3.5"}},
                                   {"negative", {"blurry, dark"}},
                                   {"sampler", {"DPM++ 2M"}}});
  CHECK(line.model == "mini");
}

TEST_CASE("the web UI's lines say the prompt by a flag too, and repeated flags add up") {
  const PromptLine line =
      prompt_line_from("--prompt \"a fox\" --style 3d --style flat:2 --no-composite");
  CHECK(line.words ==
        RequestWords{{"prompt", {"a fox"}}, {"styles", {"3d", "flat:2"}}, {"composite", {"true"}}});
}

TEST_CASE("a flag that no request has, or without its value, is refused by the line") {
  CHECK(contains(refusal_of([] { prompt_line_from("a fox --stepz 3"); }), "'--steps'"));
  CHECK(contains(refusal_of([] { prompt_line_from("a fox --steps --seed 3"); }),
                 "'a fox --steps --seed 3', --steps: expected a value"));
  CHECK(contains(refusal_of([] { prompt_line_from("a fox --no-composite now"); }), "no value"));
}
