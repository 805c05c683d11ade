// CLIP's tokenizer under libFuzzer: any bytes as a prompt in both ways of cleaning, and hostile
// tokenizer.json, vocab.json with merges.txt, configuration and gzip. It checks that only Error is
// thrown, that ids are of the vocabulary, and that encode has its length.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"
#include "text/clip_bpe.h"
#include "text/read_file.h"

namespace {

using pangu::text::ClipCleaning;
using pangu::text::ClipTokenizer;

constexpr const char* kMerges = "#\nc a\nca t</w>\n' s</w>\na t</w>\n! !</w>\nã Ģ</w>\nâ Ģ\n";

void check(const ClipTokenizer& tokenizer, std::string_view text) {
  for (const int32_t id : tokenizer.tokenize(text)) {
    if (id < 0 || (id >= tokenizer.vocabulary_size() && id < 5000)) std::abort();
  }
  const auto ids = tokenizer.encode(text, 12);
  if (ids.size() != 12 || ids[0] != tokenizer.bos()) std::abort();
  tokenizer.decode(ids);
}

ClipTokenizer fixed(ClipCleaning cleaning) {
  auto tokenizer = ClipTokenizer::from_openai_merges(kMerges, cleaning);
  tokenizer.add_token("<toy>", {5000, 5001});
  return tokenizer;
}

template <typename Load>
void attempt(Load load) {
  try {
    check(load(), "a cat's red apple!! 红苹果 <|endoftext|>");
  } catch (const pangu::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ClipTokenizer hub = fixed(ClipCleaning::kTransformers);
  static const ClipTokenizer open_clip = fixed(ClipCleaning::kOpenClip);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check(hub, bytes);
  check(open_clip, bytes);
  attempt([&] { return ClipTokenizer::from_json(bytes); });
  // Its vocabulary has at least 514 tokens: not for every input.
  if (bytes.starts_with('"')) attempt([&] { return ClipTokenizer::from_openai_merges(bytes); });
  // Three files in one, parted by bytes that JSON does not have.
  const size_t first = bytes.find('\x01');
  const size_t second = first == bytes.npos ? bytes.npos : bytes.find('\x01', first + 1);
  if (second != bytes.npos) {
    attempt([&] {
      return ClipTokenizer::from_vocabulary(bytes.substr(0, first),
                                            bytes.substr(first + 1, second - first - 1),
                                            bytes.substr(second + 1));
    });
  }
  try {
    pangu::text::gunzip_lines(bytes, 100, size_t{1} << 20, "gzip");
  } catch (const pangu::Error&) {
  }
  return 0;
}
