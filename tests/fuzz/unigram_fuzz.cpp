// Unigram tokenizer under libFuzzer: hostile tokenizer.json, and any bytes as a prompt. It checks
// that only Error is thrown and that ids stay inside the vocabulary and the limit.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "text/unigram.h"

namespace {

constexpr const char* kTokenizer = R"json({
"normalizer": {"type": "Precompiled"},
"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace"}]},
"model": {"type": "Unigram", "unk_id": 3, "vocab": [["<s>", 0], ["<pad>", 0], ["</s>", 0], ["<unk>", 0],
["▁", -3], ["a", -4], ["b", -5], ["ab", -6], ["aab", -5.5], ["▁a", -4.5], [",", -4], ["红", -7], ["红苹果", -9],
["é", -8], ["🐳", -12], ["1", -5], ["11", -5]]}})json";

void encode_checked(const pangu::text::UnigramTokenizer& tokenizer, std::string_view text) {
  constexpr size_t kLimit = 48;
  const auto ids = tokenizer.encode(text, kLimit);
  if (ids.size() < 2 || ids.size() > kLimit) std::abort();
  for (const int32_t id : ids) {
    if (id < 0 || id >= tokenizer.vocabulary_size()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = pangu::text::UnigramTokenizer::from_json(kTokenizer);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  encode_checked(tokenizer, bytes);
  try {
    encode_checked(pangu::text::UnigramTokenizer::from_json(bytes), "a red apple 红苹果");
  } catch (const pangu::Error&) {
  }
  return 0;
}
