// Unigram tokenizer: parity with Hugging Face tokenizers on a golden file (tools/parity/
// dump_unigram.py), and behaviour on bytes that nobody should send.
#include "text/unigram.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "core/error.h"
#include "core/testing.h"
#include "text/utf8.h"

using pangu::text::UnigramTokenizer;

namespace {

const std::string kData = std::string(pangu::kSourceDir) + "/tests/parity/data/";

const UnigramTokenizer& tokenizer() {
  static const auto loaded = UnigramTokenizer::from_file(kData + "unigram_tokenizer.json");
  return loaded;
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream stream(path);
  return nlohmann::json::parse(stream);
}

std::string shown(const std::vector<int32_t>& ids) {
  std::ostringstream out;
  for (const int32_t id : ids) out << tokenizer().piece(id) << "|";
  return out.str();
}

}  // namespace

TEST_CASE("every golden text gets the ids that Hugging Face tokenizers gives it") {
  const auto golden = read_json(kData + "unigram_golden.json");
  REQUIRE(golden.size() >= 130);
  for (const auto& row : golden) {
    const auto text = row["text"].get<std::string>();
    const auto expected = row["ids"].get<std::vector<int32_t>>();
    CAPTURE(text);
    CHECK_MESSAGE(tokenizer().encode(text, 4096) == expected, shown(tokenizer().encode(text, 4096)),
                  " expected ", shown(expected));
  }
}

TEST_CASE("full-width punctuation and the ideographic space become plain ones") {
  CHECK(UnigramTokenizer::normalise("蓝色，鲸鱼　图标！") == "蓝色,鲸鱼 图标!");
  CHECK(UnigramTokenizer::normalise("ＡＢＣ１２３") == "ABC123");
  CHECK(tokenizer().encode("红苹果，猫") == tokenizer().encode("红苹果,猫"));
}

TEST_CASE("control characters vanish and zero-width ones separate words") {
  CHECK(UnigramTokenizer::normalise("a\x01"
                                    "b\x7f"
                                    "c") == "abc");
  CHECK(UnigramTokenizer::normalise("a\xE2\x80\x8B"
                                    "b\xEF\xBB\xBF") == "a b");
  CHECK(UnigramTokenizer::normalise(" \t\r\n ") == "");
  CHECK(UnigramTokenizer::normalise(std::string("a\0b", 3)) == "ab");
}

TEST_CASE("composed and decomposed letters are the same text") {
  CHECK(UnigramTokenizer::normalise("cafe\xCC\x81") == "caf\xC3\xA9");
}

TEST_CASE("an empty text is only the two specials") {
  const std::vector<int32_t> empty = {tokenizer().bos(), tokenizer().eos()};
  CHECK(tokenizer().encode("") == empty);
  CHECK(tokenizer().encode(" \xE3\x80\x80 ") == empty);
}

TEST_CASE("text that spells a special token is ordinary text") {
  const auto ids = tokenizer().encode("</s><pad><s>");
  for (size_t i = 1; i + 1 < ids.size(); ++i) {
    CHECK(ids[i] != tokenizer().bos());
    CHECK(ids[i] != tokenizer().eos());
    CHECK(ids[i] != tokenizer().pad());
  }
}

TEST_CASE("characters without a piece share one unknown within a word") {
  // Private use: no vocabulary has them.
  const auto ids = tokenizer().encode("\xEE\x80\x80\xEE\x80\x81\xEE\x80\x82");
  CHECK(std::count(ids.begin(), ids.end(), tokenizer().unknown()) == 1);
}

TEST_CASE("a long text is cut to max_tokens and still ends with </s>") {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "a red apple ";
  const auto whole = tokenizer().encode(text, 4096);
  for (const size_t limit : {2U, 3U, 77U, 512U}) {
    const auto ids = tokenizer().encode(text, limit);
    REQUIRE(ids.size() == limit);
    CHECK(ids.back() == tokenizer().eos());
    CHECK(std::equal(ids.begin(), ids.end() - 1, whole.begin()));
  }
  CHECK(tokenizer().encode(std::string(5 << 20, 'z'), 77).size() == 77);
  CHECK_THROWS_AS(tokenizer().encode("x", 1), pangu::Error);
}

TEST_CASE("ill-formed UTF-8 becomes one replacement for each maximal ill-formed part") {
  using pangu::text::decode_utf8;
  CHECK(decode_utf8("\xC3\xA9") == U"\u00E9");
  CHECK(decode_utf8("\xF0\x9F\x90\xB3") == U"\U0001F433");
  CHECK(decode_utf8("\xC0\xAF") == U"\uFFFD\uFFFD");            // overlong
  CHECK(decode_utf8("\xED\xA0\x80") == U"\uFFFD\uFFFD\uFFFD");  // surrogate
  CHECK(decode_utf8("\xF4\x90\x80\x80").size() == 4);           // above U+10FFFF
  CHECK(decode_utf8("\xE2\x82"
                    "a") == U"\uFFFDa");
  CHECK(decode_utf8("\xF0\x9F") == U"\uFFFD");
  CHECK(decode_utf8("\x80\xFF") == U"\uFFFD\uFFFD");
}

TEST_CASE("any bytes give ids inside the vocabulary between the specials") {
  std::mt19937 random(7);
  for (int trial = 0; trial < 2000; ++trial) {
    std::string bytes(random() % 60, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const auto ids = tokenizer().encode(bytes, 64);
    REQUIRE(ids.size() >= 2);
    REQUIRE(ids.size() <= 64);
    CHECK(ids.front() == tokenizer().bos());
    CHECK(ids.back() == tokenizer().eos());
    for (const int32_t id : ids) CHECK((id >= 0 && id < tokenizer().vocabulary_size()));
  }
}

TEST_CASE("a file that is not this kind of tokenizer is refused with a reason") {
  using pangu::Error;
  const auto load = [](const std::string& text) { UnigramTokenizer::from_json(text); };
  CHECK_THROWS_AS(UnigramTokenizer::from_file(kData + "does_not_exist.json"), Error);
  CHECK_THROWS_AS(load("not json"), Error);
  CHECK_THROWS_AS(load("[1,2]"), Error);
  auto spec = read_json(kData + "unigram_tokenizer.json");
  auto broken = spec;
  broken["model"]["type"] = "BPE";
  CHECK_THROWS_WITH_AS(load(broken.dump()),
                       "tokenizer, key 'model.type': expected Unigram, found \"BPE\"", Error);
  broken = spec;
  broken["normalizer"] = {{"type", "Lowercase"}};
  CHECK_THROWS_AS(load(broken.dump()), Error);
  broken = spec;
  broken["pre_tokenizer"] = nullptr;
  CHECK_THROWS_AS(load(broken.dump()), Error);
  broken = spec;
  broken["model"]["unk_id"] = 1 << 20;
  CHECK_THROWS_AS(load(broken.dump()), Error);
  broken = spec;
  broken["model"]["vocab"] = {{"<unk>", 0.0}, {3, "x"}};
  CHECK_THROWS_AS(load(broken.dump()), Error);
  CHECK_THROWS_AS(tokenizer().piece(-1), Error);
}
