// CLIP's tokenizer on a vocabulary of a few merges; agreement with transformers and open_clip on
// the real one is tests/parity/tokenizer_test.cpp.
#include "text/clip_bpe.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/testing.h"
#include "text/read_file.h"
#include "text/utf8.h"

using pangu::Error;
using namespace pangu;
using namespace pangu::text;

namespace {

const std::string kMerges = "\"version\"\nc a\nca t</w>\n' s</w>\na t</w>\nd o\n! !</w>\n";

ClipTokenizer small(ClipCleaning cleaning = ClipCleaning::kTransformers) {
  return ClipTokenizer::from_openai_merges(kMerges, cleaning);
}

std::string shown(const ClipTokenizer& tokenizer, std::string_view text) {
  std::string out;
  for (const int32_t id : tokenizer.tokenize(text)) {
    if (!out.empty()) out += '|';
    const std::vector<int32_t> one = {id};
    out += tokenizer.decode(one);
  }
  return out;
}

// The same tokens as vocab.json and as tokenizer.json.
nlohmann::json vocabulary() {
  const auto tokenizer = small();
  nlohmann::json out;
  int32_t id = 0;
  for (const bool ends : {false, true}) {
    for (const bool printable : {true, false}) {
      for (int byte = 0; byte < 256; ++byte) {
        const std::string& symbol = printable_of(static_cast<uint8_t>(byte));
        if ((decode_utf8(symbol)[0] < 0x100) == printable)
          out[symbol + (ends ? "</w>" : "")] = id++;
      }
    }
  }
  for (const char* token :
       {"ca", "cat</w>", "'s</w>", "at</w>", "do", "!!</w>", "<|startoftext|>", "<|endoftext|>"}) {
    out[token] = id++;
  }
  return out;
}

nlohmann::json tokenizer_json() {
  nlohmann::json out;
  out["model"] = {{"type", "BPE"}, {"end_of_word_suffix", "</w>"}, {"vocab", vocabulary()}};
  out["model"]["merges"] = {"c a", "ca t</w>", "' s</w>", "a t</w>", "d o", "! !</w>"};
  return out;
}

std::string gzipped(const std::string& text) {
  std::string out(text.size() + 100, '\0');
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

TEST_CASE("words are split at contractions, letters, single numbers and the rest, then merged") {
  const auto tokenizer = small();
  CHECK(shown(tokenizer, "cat") == "cat");
  CHECK(shown(tokenizer, "A CAT!!") == "a|cat|!!");
  CHECK(shown(tokenizer, "cat's") == "cat|'s");
  CHECK(shown(tokenizer, "cats") == "ca|t|s");
  CHECK(shown(tokenizer, "at42") == "at|4|2");
  CHECK(shown(tokenizer, "").empty());
  CHECK(shown(tokenizer, " \t\n\xE3\x80\x80").empty());
}

TEST_CASE("the vocabulary of the merges file is bytes, bytes at the end, merges, two specials") {
  const auto tokenizer = small();
  CHECK(tokenizer.vocabulary_size() == 512 + 6 + 2);
  CHECK(tokenizer.bos() == 518);
  CHECK(tokenizer.eos() == 519);
  CHECK(tokenizer.pad() == 519);
  CHECK(small(ClipCleaning::kOpenClip).pad() == 0);
  CHECK(tokenizer.tokenize("!") == std::vector<int32_t>{256});  // "!</w>", as in CLIP
}

TEST_CASE("encode adds begin and end, cuts and pads") {
  const auto tokenizer = small();
  const auto cat = tokenizer.tokenize("cat")[0];
  const int32_t bos = tokenizer.bos(), eos = tokenizer.eos();
  CHECK(tokenizer.encode("cat", 5) == std::vector<int32_t>{bos, cat, eos, eos, eos});
  CHECK(tokenizer.encode("cat", 5, 0) == std::vector<int32_t>{bos, cat, eos, 0, 0});
  CHECK(tokenizer.encode("cat cat cat cat", 4) == std::vector<int32_t>{bos, cat, cat, eos});
  CHECK(tokenizer.encode("").size() == 77);
  CHECK_THROWS_AS(tokenizer.encode("cat", 1), Error);
}

TEST_CASE("specials that the text spells become their ids") {
  const auto hub = small();
  CHECK(hub.tokenize("a<|endoftext|>") == std::vector<int32_t>{hub.tokenize("a")[0], hub.eos()});
  CHECK(hub.tokenize("<|startoftext|>") == std::vector<int32_t>{hub.bos()});
  CHECK(hub.tokenize("<|ENDOFTEXT|>").size() > 1);  // looked for as typed
  const auto open = small(ClipCleaning::kOpenClip);
  CHECK(open.tokenize("<END_OF_TEXT>") == std::vector<int32_t>{open.eos()});
  CHECK(open.tokenize("<start_of_text>") == std::vector<int32_t>{open.bos()});
  CHECK(open.tokenize("!<end_of_text>").size() > 2);  // "!<" goes together
  CHECK(open.tokenize("<|endoftext|>").size() > 1);
}

TEST_CASE("a special pad is found in the text, as in SDXL's second tokenizer") {
  const auto tokenizer = ClipTokenizer::from_vocabulary(
      vocabulary().dump(), kMerges.substr(kMerges.find('\n') + 1), R"({"pad_token": "!"})");
  CHECK(tokenizer.pad() == 0);
  CHECK(tokenizer.tokenize("at!!") == std::vector<int32_t>{tokenizer.tokenize("at")[0], 0, 0});
}

TEST_CASE("normalised specials of the configuration match in any case") {
  const auto tokenizer = ClipTokenizer::from_vocabulary(
      vocabulary().dump(), "", "", R"({"bos_token": {"content": "<|startoftext|>",
      "normalized": true}})");
  CHECK(tokenizer.tokenize("<|StartOfText|>") == std::vector<int32_t>{tokenizer.bos()});
  CHECK(tokenizer.tokenize("<|EndOfText|>").size() > 1);
}

TEST_CASE("a placeholder word stands for one or more new ids, anywhere and in any case") {
  auto tokenizer = small();
  tokenizer.add_token("<My-Toy>", {600, 601});
  tokenizer.add_token("<my-toy>s", {602});
  const int32_t cat = tokenizer.tokenize("cat")[0];
  CHECK(tokenizer.tokenize("cat <my-toy> cat") == std::vector<int32_t>{cat, 600, 601, cat});
  CHECK(tokenizer.tokenize("cat<MY-TOY>s") == std::vector<int32_t>{cat, 602});
  CHECK(tokenizer.decode(std::vector<int32_t>{cat, 600, 601}) == "cat <My-Toy><My-Toy>_1");
  tokenizer.add_token("<my-toy>", {700});
  CHECK(tokenizer.tokenize("<my-toy>") == std::vector<int32_t>{700});
  CHECK_THROWS_AS(tokenizer.add_token(" ", {1}), Error);
  CHECK_THROWS_AS(tokenizer.add_token("x", {}), Error);
  CHECK_THROWS_AS(tokenizer.add_token("x", {-1}), Error);
  auto open = small(ClipCleaning::kOpenClip);
  open.add_token("<My-Toy>", {600});
  CHECK(open.tokenize("<my-toy>") == std::vector<int32_t>{600});
}

TEST_CASE("decoding gives the words back") {
  const auto tokenizer = small();
  const std::string text = "a cat's \xE7\x8C\xAB !! \xF0\x9F\x90\xB3";
  CHECK(tokenizer.decode(tokenizer.tokenize(text)) == "a cat 's \xE7\x8C\xAB !! \xF0\x9F\x90\xB3");
  CHECK(tokenizer.decode(tokenizer.encode("cat", 4)) ==
        "<|startoftext|>cat <|endoftext|><|endoftext|>");
  CHECK(tokenizer.decode(tokenizer.encode("cat", 4), true) == "cat");
  CHECK_THROWS_AS(tokenizer.decode(std::vector<int32_t>{520}), Error);
  CHECK_THROWS_AS(tokenizer.decode(std::vector<int32_t>{-1}), Error);
}

TEST_CASE("ill-formed UTF-8 counts as U+FFFD") {
  const auto tokenizer = small();
  CHECK(tokenizer.tokenize("at\xFF") == tokenizer.tokenize("at\xEF\xBF\xBD"));
  CHECK(tokenizer.tokenize("\xE7\x8C") == tokenizer.tokenize("\xEF\xBF\xBD"));
}

TEST_CASE("very long words are merged in time") {
  const auto tokenizer = small();
  CHECK(tokenizer.tokenize(std::string(200000, 'x')).size() == 200000);
  std::string cats;
  for (int i = 0; i < 50000; ++i) cats += "ca";
  CHECK(tokenizer.tokenize(cats).size() == 50001);  // the last "a" ends the word
}

TEST_CASE("every form of the files gives the same ids") {
  const TestFolder json, pair, gzip, empty;
  json.write("tokenizer.json", tokenizer_json().dump());
  pair.write("vocab.json", vocabulary().dump());
  pair.write("merges.txt", "#version: 0.2\n" + kMerges.substr(kMerges.find('\n') + 1));
  gzip.write("bpe_simple_vocab_16e6.txt.gz", gzipped(kMerges));
  const std::string text = "A cat's do!! \xE7\x8C\xAB";
  const auto expected = small().tokenize(text);
  for (const auto& path : {json.path, pair.path, gzip.path, json.path / "tokenizer.json",
                           gzip.path / "bpe_simple_vocab_16e6.txt.gz"}) {
    CAPTURE(path.string());
    const auto tokenizer = ClipTokenizer::from_path(path.string());
    CHECK(tokenizer.tokenize(text) == expected);
    CHECK(tokenizer.eos() == 519);
  }
  CHECK_THROWS_AS(ClipTokenizer::from_path(empty.path.string()), Error);
  CHECK_THROWS_AS(ClipTokenizer::from_path((empty.path / "no").string()), Error);
  gzip.write("bpe_simple_vocab_16e6.txt.gz", gzipped(kMerges).substr(0, 40));
  CHECK_THROWS_AS(ClipTokenizer::from_path(gzip.path.string()), Error);
}

TEST_CASE("files that do not fit are refused with a reason") {
  const auto load = [](const nlohmann::json& json) { ClipTokenizer::from_json(json.dump()); };
  const auto good = tokenizer_json();
  CHECK_NOTHROW(load(good));
  CHECK_THROWS_AS(ClipTokenizer::from_json("not json"), Error);
  CHECK_THROWS_AS(ClipTokenizer::from_json("[]"), Error);
  CHECK_THROWS_AS(ClipTokenizer::from_json(std::string(100000, '[')), Error);
  auto bad = good;
  bad["model"]["type"] = "WordPiece";
  CHECK_THROWS_WITH_AS(load(bad), "tokenizer, key 'model.type': expected BPE, found WordPiece",
                       Error);
  bad = good;
  bad["model"]["end_of_word_suffix"] = "";
  CHECK_THROWS_AS(load(bad), Error);
  bad = good;
  bad["model"]["vocab"].erase("ca");
  CHECK_THROWS_AS(load(bad), Error);
  bad = good;
  bad["model"]["vocab"].erase("<|endoftext|>");
  CHECK_THROWS_AS(load(bad), Error);
  for (const nlohmann::json& id : {nlohmann::json(-1), nlohmann::json(1 << 21), nlohmann::json(3),
                                   nlohmann::json("x"), nlohmann::json(1.5)}) {
    bad = good;
    bad["model"]["vocab"]["ca"] = id;
    CHECK_THROWS_AS(load(bad), Error);
  }
  for (const nlohmann::json& merge :
       {nlohmann::json("a"), nlohmann::json("a b c"), nlohmann::json({"a"}),
        nlohmann::json({"a", "b", "c"}), nlohmann::json(1), nlohmann::json({1, 2})}) {
    bad = good;
    bad["model"]["merges"].push_back(merge);
    CHECK_THROWS_AS(load(bad), Error);
  }
  CHECK_THROWS_AS(ClipTokenizer::from_vocabulary(vocabulary().dump(), "a b c\n"), Error);
  CHECK_THROWS_AS(ClipTokenizer::from_vocabulary(vocabulary().dump(), "", "[1]"), Error);
  CHECK_THROWS_AS(gunzip_lines("no gzip", 1, 100, "x"), Error);
}
