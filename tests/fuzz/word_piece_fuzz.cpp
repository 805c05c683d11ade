// BERT's tokenizer under libFuzzer: any bytes as a prompt by both sets of rules, and hostile
// vocab.txt and tokenizer.json. It checks that only Error is thrown and that ids are of the
// vocabulary.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "text/word_piece.h"

namespace {

using pangu::text::BertRules;
using pangu::text::WordPieceTokenizer;

constexpr const char* kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\n##s\n##a\na\n红\n##红\n,\n[\n]\nsep\n\u1112\n##"
    "\u1161\nσ\nς\n";

void check(const WordPieceTokenizer& tokenizer, std::string_view text) {
  for (const int32_t id : tokenizer.tokenize(text)) {
    if (id < 0 || id >= tokenizer.vocabulary_size()) std::abort();
  }
  const auto ids = tokenizer.encode(text, 12);
  if (ids.size() != 12 || ids[0] != tokenizer.cls()) std::abort();
  tokenizer.decode(ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto hub = WordPieceTokenizer::from_vocabulary(kVocabulary);
  static const auto pangu =
      WordPieceTokenizer::from_vocabulary(kVocabulary, "", "", BertRules::kPanGu);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check(hub, bytes);
  check(pangu, bytes);
  for (const BertRules rules : {BertRules::kTransformers, BertRules::kPanGu}) {
    try {
      check(WordPieceTokenizer::from_vocabulary(bytes, "", "", rules), "a cat 红苹果 [SEP]");
    } catch (const pangu::Error&) {
    }
    try {
      check(WordPieceTokenizer::from_json(bytes, "", "", rules), "a cat 红苹果 [SEP]");
    } catch (const pangu::Error&) {
    }
  }
  return 0;
}
