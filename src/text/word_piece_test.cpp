// BERT's tokenizer on a few pieces; agreement with transformers on a real vocabulary is
// tests/parity/tokenizer_test.cpp.
#include "text/word_piece.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"

using pangu::Error;
using namespace pangu::text;

namespace {

const std::string kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\n##s\n##a\na\n红\n色\n,\n[\n]"
    "\nsep\nσας\nσασ\n\u1112\n##"
    "\u1161\n##\u11ab\ncafe\n\u2028\n";

WordPieceTokenizer small(BertRules rules = BertRules::kTransformers,
                         const std::string& config = "") {
  return WordPieceTokenizer::from_vocabulary(kVocabulary, config, "", rules);
}

std::string shown(const WordPieceTokenizer& tokenizer, std::string_view text) {
  std::string out;
  for (const int32_t id : tokenizer.tokenize(text)) {
    if (!out.empty()) out += '|';
    const std::vector<int32_t> one = {id};
    out += tokenizer.decode(one);
  }
  return out;
}

constexpr BertRules kBoth[] = {BertRules::kTransformers, BertRules::kPanGu};

}  // namespace

TEST_CASE("words are cut into the longest pieces from the left") {
  for (const BertRules rules : kBoth) {
    const auto tokenizer = small(rules);
    CHECK(shown(tokenizer, "cats") == "cat|##s");
    CHECK(shown(tokenizer, "Catas, a") == "cat|##a|##s|,|a");
    CHECK(shown(tokenizer, "cab") == "[UNK]");
    CHECK(shown(tokenizer, "") == "");
    CHECK(shown(tokenizer,
                "\xE7\xBA\xA2\xE8\x89\xB2"
                "a") == "\xE7\xBA\xA2|\xE8\x89\xB2|a");
    CHECK(shown(tokenizer,
                "\x01"
                "c\xE2\x80\x8B"
                "a\xEF\xBF\xBDt\xFF") == "cat");
    CHECK(shown(tokenizer, "CAF\xC3\x89 cafe\xCC\x81") == "cafe|cafe");
    CHECK(shown(tokenizer, "\xED\x95\x9C") == "\u1112|##\u1161|##\u11ab");
    CHECK(shown(tokenizer, std::string(100, 'a')).find("[UNK]") == std::string::npos);
    CHECK(shown(tokenizer, std::string(101, 'a')) == "[UNK]");
  }
}

TEST_CASE("the two sets of rules differ in specials and in the final sigma") {
  const auto hub = small(), pangu = small(BertRules::kPanGu);
  CHECK(shown(hub, "a[SEP]a [MASK]") == "a|[SEP]|a|[MASK]");
  CHECK(shown(pangu, "a[SEP]a") == "a|[|sep|]|a");
  CHECK(shown(pangu, "a [SEP] [UNK] [sep]") == "a|[SEP]|[UNK]|[|sep|]");
  CHECK(shown(pangu, "[MASK]") == "[|[UNK]|]");
  CHECK(shown(hub, "ΣΑΣ") == "σασ");
  CHECK(shown(pangu, "ΣΑΣ") == "σας");
}

TEST_CASE("the line of U+2028 becomes empty and every later line keeps its number") {
  for (const BertRules rules : kBoth) {
    const auto tokenizer = small(rules);
    CHECK(tokenizer.vocabulary_size() == 22);
    CHECK(tokenizer.decode(std::vector<int32_t>{21}).empty());
  }
}

TEST_CASE("encode adds the class and separator tokens, cuts and pads") {
  const auto tokenizer = small(BertRules::kPanGu);
  CHECK(tokenizer.encode("a cats", 6) == std::vector<int32_t>{2, 8, 5, 6, 3, 0});
  CHECK(tokenizer.encode("a a a a a", 4) == std::vector<int32_t>{2, 8, 8, 3});
  CHECK(tokenizer.encode("a", 4, 9) == std::vector<int32_t>{2, 8, 3, 9});
  CHECK(tokenizer.encode(std::string(300, ',')).size() == 77);
  CHECK_THROWS_AS(tokenizer.encode("a", 1), Error);
}

TEST_CASE("the configuration can keep case, accents and Chinese words") {
  CHECK(shown(small(BertRules::kTransformers, R"({"do_lower_case": false})"), "CAT cat") ==
        "[UNK]|cat");
  CHECK(shown(small(BertRules::kTransformers, R"({"strip_accents": false})"), "caf\xC3\x89") ==
        "[UNK]");
  CHECK(shown(small(BertRules::kTransformers, R"({"tokenize_chinese_chars": false})"),
              "\xE7\xBA\xA2\xE8\x89\xB2") == "[UNK]");
}

TEST_CASE("tokenizer.json gives the same ids as vocab.txt") {
  nlohmann::json json;
  json["model"] = {{"type", "WordPiece"}};
  const auto plain = small();
  for (int32_t id = 0; id < plain.vocabulary_size(); ++id) {
    json["model"]["vocab"][plain.decode(std::vector<int32_t>{id})] = id;
  }
  const auto tokenizer = WordPieceTokenizer::from_json(json.dump());
  for (const char* text : {"cats, a", "x[SEP]y", "cab"}) {
    CHECK(tokenizer.tokenize(text) == plain.tokenize(text));
  }
  json["model"]["type"] = "BPE";
  CHECK_THROWS_AS(WordPieceTokenizer::from_json(json.dump()), Error);
  CHECK_THROWS_AS(WordPieceTokenizer::from_json("{}"), Error);
}

TEST_CASE("pieces are joined again when they are decoded") {
  const auto tokenizer = small();
  CHECK(tokenizer.decode(tokenizer.encode("cats a", 6)) == "[CLS] cats a [SEP] [PAD]");
  CHECK(tokenizer.decode(tokenizer.encode("cats a", 6), true) == "cats a");
  CHECK_THROWS_AS(tokenizer.decode(std::vector<int32_t>{22}), Error);
}

TEST_CASE("a vocabulary without the special tokens is refused") {
  CHECK_THROWS_AS(WordPieceTokenizer::from_vocabulary(""), Error);
  CHECK_THROWS_AS(WordPieceTokenizer::from_vocabulary("a\nb\n"), Error);
  CHECK_THROWS_AS(WordPieceTokenizer::from_path("/nowhere"), Error);
}
