#include "pipeline/families/prompt_review.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/testing.h"

namespace pangu::pipeline {
namespace {

struct Heard {
  std::vector<std::string> sentences;
  Watch watch{.on_warning = [this](const std::string& text) { sentences.push_back(text); }};
  std::string all() const {
    std::string text;
    for (const std::string& sentence : sentences) text += sentence + "\n";
    return text;
  }
};

size_t words_in(std::string_view text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), ' ')) + 1;
}

TEST_CASE("words that a plain reader cuts are named, and syntax that it takes for words") {
  Heard heard;
  warn_of_plain_reading({"a red fox in snow", "a fox"}, 4, words_in, heard.watch);
  REQUIRE(heard.sentences.size() == 1);
  CHECK(contains(heard.all(), "reads 4 tokens; these words are cut: 'snow'"));
  warn_of_plain_reading({"a (red:1.3) fox"}, 10, words_in, heard.watch);
  CHECK(contains(heard.all(), "'(red:1.3)' is read as it is written"));
}

TEST_CASE("embeddings that there are not, and those that no prompt has, are named") {
  Heard heard;
  const std::vector<std::string> words = {"EasyNeg", "<cat-toy>"};
  warn_of_words(
      {"a <cat-toy>, embedding:easyneg.safetensors, <lora:x:1>", "(embedding:EasyNeg:1.2)"}, words,
      heard.watch);
  CHECK(heard.all() == "");
  warn_of_words({"a <cat-toys>, embedding:hard, easyneg"}, words, heard.watch);
  CHECK(contains(heard.all(), "no embedding '<cat-toys>'; did you mean '<cat-toy>'"));
  CHECK(contains(heard.all(), "no embedding 'hard'; there are 'EasyNeg', '<cat-toy>'"));
  CHECK(contains(heard.all(), "embedding '<cat-toy>': no prompt has this word"));
  CHECK_FALSE(contains(heard.all(), "embedding 'EasyNeg': no prompt"));
}

TEST_CASE("ComfyUI's way to name an embedding becomes its word") {
  const std::vector<std::string> words = {"easyneg", "v1.5"};
  CHECK(with_embedding_words("a (embedding:easyneg:1.2), x", words) == "a (easyneg:1.2), x");
  CHECK(with_embedding_words("embedding:easyneg.pt embedding:v1.5", words) == "easyneg v1.5");
  CHECK(with_embedding_words("a embedding:none b", words) == "a  b");
  CHECK(with_embedding_words("no embedding here", words) == "no embedding here");
}

}  // namespace
}  // namespace pangu::pipeline
