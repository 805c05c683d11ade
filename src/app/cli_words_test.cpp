#include "app/cli_words.h"

#include <doctest/doctest.h>

#include "app/cli_help.h"
#include "core/error.h"

namespace pangu::app {
namespace {

using Words = std::vector<std::string>;

// draw [WORD...] --steps INT --guidance/--cfg FLOAT; data pack DATASET; inspect PATH --tensors.
struct SmallProgram {
  CLI::App app{"Pictures.", "pangu-draw"};
  Words prompt;
  int steps = 20;
  double guidance = 4;
  std::string dataset, path;
  bool tensors = false;

  SmallProgram() {
    app.formatter(help_formatter());
    app.require_subcommand(1);
    CLI::App* draw = app.add_subcommand("draw", "Draw pictures");
    draw->add_option("prompt", prompt, "What to draw");
    draw->add_option("-s,--steps", steps, "Steps of the sampler")->capture_default_str();
    draw->add_option("--guidance,--cfg,--cfg-scale", guidance, "Scale of it's own");
    CLI::App* data = app.add_subcommand("data", "Datasets");
    data->require_subcommand(1);
    data->add_subcommand("pack", "Write shards")->add_option("dataset", dataset)->required();
    CLI::App* inspect = app.add_subcommand("inspect", "Say what a file holds");
    inspect->add_option("path", path, "File")->required();
    inspect->add_flag("--tensors", tensors, "List them");
  }

  // What is said of words that are wrong; "accepted" if they are not.
  std::string answer(Words words) {
    words = with_brackets_kept(app, usual_words(std::move(words)));
    std::reverse(words.begin(), words.end());
    try {
      app.parse(words);
    } catch (const CLI::ParseError& error) {
      return refusal_of(app, error);
    }
    return "accepted";
  }
};

std::string answer_to(Words words) { return SmallProgram().answer(std::move(words)); }

TEST_CASE("a first word that is no command is refused, also where help is asked for") {
  const SmallProgram program;
  CHECK(refusal_of_first_word(program.app, {"draww", "--help"}).find("did you mean 'draw'?") !=
        std::string::npos);
  CHECK(refusal_of_first_word(program.app, usual_words({"help", "hires"})).find("'hires'") !=
        std::string::npos);
  for (const Words& words : {Words{"draw", "--help"}, Words{"--help"}, Words{}}) {
    CHECK(refusal_of_first_word(program.app, words).empty());
  }
}

TEST_CASE("A wrong subcommand is named, with the nearest") {
  CHECK(answer_to({"drwa", "x"}) ==
        "command: expected one of draw, data, inspect, found 'drwa'. Hint: did you mean 'draw'?");
  CHECK(answer_to({"txt2img", "x"}).find("did you mean 'draw'?") != std::string::npos);
  CHECK(answer_to({"a red apple"}).find("draws a picture") != std::string::npos);
  CHECK(answer_to({}).find("found nothing") != std::string::npos);
  CHECK(answer_to({"data", "pakc"}) ==
        "data: expected one of pack, found 'pakc'. Hint: did you mean 'pack'?");
}

TEST_CASE("A wrong flag is named, with the nearest of its subcommand") {
  CHECK(answer_to({"draw", "a cat", "--stepz", "3"}) ==
        "draw: expected one of its flags, found '--stepz'. Hint: did you mean "
        "'--steps'?");
  CHECK(answer_to({"draw", "a cat", "--tensors"}).find("a flag of inspect") != std::string::npos);
  CHECK(answer_to({"inspect", "--stepz=3"}).find("'--stepz'") != std::string::npos);
  CHECK(answer_to({"inspect", "--zzzzzzzz", "x"}).find("pangu-draw inspect --help lists") !=
        std::string::npos);
  CHECK(answer_to({"inspect", "a", "b"}).find("found 'b' too") != std::string::npos);
  CHECK(answer_to({"data", "pack"}).find("pangu-draw data pack --help") != std::string::npos);
}

TEST_CASE("A value that is none is named with its flag") {
  CHECK(answer_to({"draw", "x", "--steps", "many"}) ==
        "draw: --steps: expected INT, found 'many'. Hint: pangu-draw draw --help");
  CHECK(answer_to({"draw", "x", "--steps"}) ==
        "draw: --steps: expected INT, found nothing. Hint: pangu-draw draw --help");
}

TEST_CASE("Words are taken as people type them") {
  SmallProgram program;
  CHECK(program.answer({"draw", "a", "red", "apple", "--cfg_scale", "3", "-s", "5"}) == "accepted");
  CHECK(joined_prompt(program.prompt) == "a red apple");
  CHECK(program.guidance == 3);
  CHECK(program.steps == 5);
  CHECK(usual_words({"help", "draw"}) == Words{"draw", "--help"});
  CHECK(usual_words({"help"}) == Words{"--help"});
  CHECK(usual_words({"version"}) == Words{"--version"});
  CHECK(usual_words({"draw", "--a_b=c_d", "--", "--e_f"}) ==
        Words{"draw", "--a-b=c_d", "--", "--e_f"});
}

TEST_CASE("Brackets of a prompt stay, wherever its words stand") {
  for (const Words& words : {Words{"draw", "[a cat:a dog, red:0.5]", "[x]"},
                             Words{"draw", "--steps", "3", "[a cat:a dog, red:0.5]", "[x]"}}) {
    SmallProgram program;
    CHECK(program.answer(words) == "accepted");
    CHECK(joined_prompt(program.prompt) == "[a cat:a dog, red:0.5] [x]");
  }
}

TEST_CASE("The name of a picture among the words of a prompt is not drawn") {
  CHECK_THROWS_WITH_AS(joined_prompt({"a", "cat", "cat.png"}), doctest::Contains("--out"), Error);
  CHECK(joined_prompt({"a logo of cats.png that is not there"}) ==
        "a logo of cats.png that is not there");
}

TEST_CASE("Help shows what is usual, and completion and manual know every flag") {
  const SmallProgram program;
  CHECK(program.app.get_subcommand("draw")->help().find("Steps of the sampler (default: 20)") !=
        std::string::npos);
  for (const char* shell : kShells) {
    const std::string script = completion_script(program.app, {{"--steps", {"10", "20"}}}, shell);
    for (const char* word : {"steps", "cfg-scale", "pack", "tensors", "10 20"}) {
      CHECK_MESSAGE(script.find(word) != std::string::npos, shell << " " << word);
    }
  }
  CHECK_THROWS_WITH_AS(completion_script(program.app, {}, "bahs"), doctest::Contains("'bash'"),
                       Error);
  const std::string page = manual_page(program.app, "1.0");
  for (const char* words : {".TH pangu\\-draw 1", "\\-s, \\-\\-steps INT",
                            ".SS pangu\\-draw data pack", "\\-\\-cfg\\-scale", ".SH EXIT STATUS"}) {
    CHECK_MESSAGE(page.find(words) != std::string::npos, words);
  }
}

}  // namespace
}  // namespace pangu::app
