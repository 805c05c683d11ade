// Prompt syntax and chunking, on a tokenizer of one id a character.
#include "text/prompt.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cmath>

#include "core/error.h"

using pangu::Error;
using namespace pangu::text;

namespace {

constexpr int32_t kBos = 1000, kEos = 1001;

// "a" is 97 and so on; the comma is 44.
std::vector<int32_t> letters(std::string_view text) { return {text.begin(), text.end()}; }

ChunkOptions options_of(size_t chunk_tokens, int32_t pad = kEos) {
  ChunkOptions options;
  options.bos = kBos;
  options.eos = kEos;
  options.pad = pad;
  options.comma = ',';
  options.comma_backtrack = 3;
  options.chunk_tokens = chunk_tokens;
  return options;
}

// "text*weight" joined by '|', BREAK as "#".
std::string shown(std::string_view prompt) {
  std::string out;
  for (const WeightedText& part : parse_emphasis(prompt)) {
    if (!out.empty()) out += '|';
    char weight[32];
    std::snprintf(weight, sizeof weight, "*%.6g", part.weight);
    out += part.is_break ? "#" : part.text + (part.weight == 1.0 ? "" : weight);
  }
  return out;
}

std::string words_of(const Chunk& chunk) {
  std::string out;
  for (size_t i = 1; i <= chunk.token_count; ++i) out.push_back(static_cast<char>(chunk.ids[i]));
  return out;
}

std::vector<std::string> chunks_of(std::string_view prompt, size_t size) {
  std::vector<std::string> out;
  for (const Chunk& chunk : chunk_prompt(parse_emphasis(prompt), letters, options_of(size))) {
    out.push_back(words_of(chunk));
  }
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("round brackets weigh 1.1, square ones its inverse, a number says how much") {
  CHECK(shown("a cat") == "a cat");
  CHECK(shown("") == "");
  CHECK(shown("a (cat)") == "a |cat*1.1");
  CHECK(shown("a (cat:1.5) b") == "a |cat*1.5| b");
  CHECK(shown("a (cat : 1.5 ) b") == "a |cat *1.5| b");
  CHECK(shown("[cat]") == "cat*0.909091");
  CHECK(shown("(cat:0)") == "cat*0");
  CHECK(shown("(cat:-1)(dog:+2)(cow:.5)(hen:3.)") == "cat*-1|dog*2|cow*0.5|hen*3");
  CHECK(shown("((a)b)") == "a*1.21|b*1.1");
  CHECK(shown("([a])").starts_with("a"));
  CHECK(shown("((a:2):3)") == "a*6");
}

TEST_CASE("neighbours of equal weight are one stretch") {
  CHECK(shown("(a)(b)") == "ab*1.1");
  CHECK(shown("a:b|c") == "a:b|c");
}

TEST_CASE("brackets that do not match are forgiven") {
  CHECK(shown("(a") == "a*1.1");
  CHECK(shown("[a") == "a*0.909091");
  CHECK(shown("a)") == "a)");
  CHECK(shown("a]") == "a]");
  CHECK(shown("a:1.2)") == "a:1.2)");
  CHECK(shown("(((a") == "a*1.331");
}

TEST_CASE("a backslash takes the meaning from a bracket and otherwise vanishes") {
  CHECK(shown(R"(\(a\) \[b\] \\)") == R"((a) [b] \)");
  CHECK(shown(R"(a\b\)") == "ab");
  CHECK(shown(R"((a\):1.3))") == "a)*1.3");
}

TEST_CASE("what is no number is text") {
  CHECK(shown("(a:1.2.3)") == "a:1.2.3*1.1");
  CHECK(shown("(a:b)") == "a:b*1.1");
  CHECK(shown("(a:.)") == "a:.*1.1");
  CHECK(shown("(a:1e3)") == "a:1e3*1.1");
}

TEST_CASE("prompt editing and alternation are de-emphasised text") {
  CHECK(shown("[a:b:0.5]") == "a:b:0.5*0.909091");
  CHECK(shown("[a|b]") == "a|b*0.909091");
  CHECK(shown("[a::3]") == "a::3*0.909091");
}

TEST_CASE("BREAK is a word of its own, and takes the white space around it") {
  CHECK(shown("a BREAK b") == "a|#|b");
  CHECK(shown("aBREAK b") == "aBREAK b");
  CHECK(shown("BREAKS, BREAK_, 红BREAK") == "BREAKS, BREAK_, 红BREAK");
  CHECK(shown("break") == "break");
  CHECK(shown("a,BREAK,b") == "a,|#|,b");
  CHECK(shown("a BREAK BREAK b") == "a|#||#|b");
  CHECK(shown("(a BREAK b:2)") == "a*2|#|b*2");
}

TEST_CASE("weights that overflow and prompts without end are refused") {
  CHECK_THROWS_AS(
      parse_emphasis("((a:1" + std::string(30, '0') + "):1" + std::string(30, '0') + ")"), Error);
  CHECK(shown("(a:1" + std::string(400, '0') + ")").ends_with("*1.1"));
  CHECK_THROWS_AS(parse_emphasis(std::string(kMaxPromptBytes + 1, 'a')), Error);
  CHECK_THROWS_AS(extract_networks(std::string(kMaxPromptBytes + 1, 'a')), Error);
}

TEST_CASE("the deepest prompt is read in time") {
  std::string deep;
  for (size_t i = 0; i < kMaxPromptBytes / 5; ++i) deep += "(a";
  for (size_t i = 0; i < kMaxPromptBytes / 5; ++i) deep += ":1)";
  CHECK(parse_emphasis(deep).size() == 1);
}

TEST_CASE("a chunk is begin, tokens, end and padding, each with a weight") {
  const auto chunks = chunk_prompt(parse_emphasis("a(b:2)"), letters, options_of(4));
  REQUIRE(chunks.size() == 1);
  CHECK(chunks[0].ids == std::vector<int32_t>{kBos, 'a', 'b', kEos, kEos, kEos});
  CHECK(chunks[0].weights == std::vector<float>{1, 1, 2, 1, 1, 1});
  CHECK(chunks[0].token_count == 2);
}

TEST_CASE("another padding stands behind the first end") {
  CHECK(chunk_prompt(parse_emphasis("ab"), letters, options_of(4, 0))[0].ids ==
        std::vector<int32_t>{kBos, 'a', 'b', kEos, 0, 0});
  CHECK(chunk_prompt(parse_emphasis("abcd"), letters, options_of(4, 0))[0].ids ==
        std::vector<int32_t>{kBos, 'a', 'b', 'c', 'd', kEos});
  const auto typed = [](std::string_view) { return std::vector<int32_t>{'a', kEos, 'b'}; };
  CHECK(chunk_prompt(parse_emphasis("x"), typed, options_of(4, 0))[0].ids ==
        std::vector<int32_t>{kBos, 'a', kEos, 0, 0, 0});
}

TEST_CASE("a long prompt goes on in the next chunk") {
  CHECK(chunks_of("abcdefghi", 4) == Texts{"abcd", "efgh", "i"});
  CHECK(chunks_of("abcd", 4) == Texts{"abcd"});
  CHECK(chunks_of("", 4) == Texts{""});
}

TEST_CASE("an overflowing chunk ends behind a comma that is near") {
  CHECK(chunks_of("abc,defgh", 6) == Texts{"abc,", "defgh"});
  CHECK(chunks_of("ab,cdefgh", 6) == Texts{"ab,cde", "fgh"});  // four back is too far
  CHECK(chunks_of("abcde,fgh", 6) == Texts{"abcde,", "fgh"});
  CHECK(chunks_of("abcdef,gh", 6) == Texts{"abcdef", ",gh"});  // the comma itself overflows
  CHECK(chunks_of("abcdef,ghijkl", 6) == Texts{"abcdef", ",ghijk", "l"});  // and is forgotten
  CHECK(chunks_of("a,b,c,d,e,f", 6) == Texts{"a,b,c,", "d,e,f"});
}

TEST_CASE("BREAK fills a chunk up, also an empty one") {
  CHECK(chunks_of("ab BREAK c", 4) == Texts{"ab", "c"});
  CHECK(chunks_of("BREAK a", 4) == Texts{"", "a"});
  CHECK(chunks_of("a BREAK", 4) == Texts{"a"});
  CHECK(chunks_of("a BREAK BREAK b", 4) == Texts{"a", "", "b"});
}

TEST_CASE("chunks without end are refused") {
  auto options = options_of(1);
  options.max_chunks = 3;
  CHECK(chunk_prompt(parse_emphasis("abc"), letters, options).size() == 3);
  CHECK_THROWS_AS(chunk_prompt(parse_emphasis("abcd"), letters, options), Error);
  options.chunk_tokens = 0;
  CHECK_THROWS_AS(chunk_prompt(parse_emphasis("a"), letters, options), Error);
}

TEST_CASE("the empty chunk is begin and ends") {
  CHECK(empty_chunk(options_of(2)).ids == std::vector<int32_t>{kBos, kEos, kEos, kEos});
  CHECK(empty_chunk(options_of(2, 0)).ids == std::vector<int32_t>{kBos, kEos, 0, 0});
  CHECK(empty_chunk().ids.size() == 77);
}

TEST_CASE("tags of networks are taken out of the prompt") {
  const auto found = extract_networks("a <lora:my file:0.8> cat <hypernet:x><b>");
  CHECK(found.prompt == "a  cat <b>");
  REQUIRE(found.networks.size() == 2);
  CHECK(found.networks[0].kind == "lora");
  CHECK(found.networks[0].name == "my file");
  CHECK(found.networks[0].values == Texts{"0.8"});
  CHECK(network_weights(found.networks[0]).unet == 0.8);
  CHECK(network_weights(found.networks[0]).text_encoder == 0.8);
  CHECK(network_weights(found.networks[1]).unet == 1.0);
  CHECK(extract_networks("<lora:> <:a> < lora:a> <lora:a").networks.empty());
  CHECK(extract_networks("<lora:> <lora:a").prompt == "<lora:> <lora:a");
  CHECK_THROWS_AS(extract_networks("<lora::0.8>"), Error);
  CHECK_THROWS_AS(extract_networks("<lora:te=1>"), Error);
}

TEST_CASE("a network has one weight, two, or named ones") {
  const auto weights = [](const char* tag) {
    return network_weights(extract_networks(tag).networks.at(0));
  };
  CHECK(weights("<lora:a:0.5:0.7>").text_encoder == 0.5);
  CHECK(weights("<lora:a:0.5:0.7>").unet == 0.7);
  CHECK(weights("<lora:a:unet=0.3>").unet == 0.3);
  CHECK(weights("<lora:a:unet=0.3>").text_encoder == 1.0);
  CHECK(weights("<lora:a:te=0.3>").unet == 0.3);
  CHECK(weights("<lora:a:-1.5>").unet == -1.5);
  CHECK_THROWS_AS(weights("<lora:a:b>"), Error);
  CHECK_THROWS_AS(weights("<lora:a:nan>"), Error);
  CHECK_THROWS_AS(weights("<lora:a:>"), Error);
  CHECK_THROWS_AS(weights("<lora:a:1:lbw=IN02>"), Error);
  CHECK_THROWS_AS(weights("<lora:a:1:1:4>"), Error);
}

TEST_CASE("any prompt keeps its letters, in order, in chunks of one length") {
  rc::check([] {
    const auto prompt = *rc::gen::container<std::string>(
        rc::gen::element('a', 'b', ',', '(', ')', '[', ']', '\\', ':', '1', '.', ' '));
    std::string parsed, chunked;
    for (const WeightedText& part : parse_emphasis(prompt)) {
      RC_ASSERT(std::isfinite(part.weight));
      parsed += part.text;
    }
    for (const Chunk& chunk : chunk_prompt(parse_emphasis(prompt), letters, options_of(5))) {
      RC_ASSERT(chunk.ids.size() == size_t{7});
      RC_ASSERT(chunk.weights.size() == size_t{7});
      chunked += words_of(chunk);
    }
    RC_ASSERT(chunked == parsed);
    const auto only = [](std::string text) {
      std::erase_if(text, [](char c) { return c != 'a' && c != 'b' && c != ','; });
      return text;
    };
    RC_ASSERT(only(parsed) == only(prompt));
  });
}
