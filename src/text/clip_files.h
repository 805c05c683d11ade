// CLIP's vocabulary in its two forms: OpenAI's list of merges, from which ids follow, and the files
// vocab.json and merges.txt that transformers reads. Encodes no text.
#pragma once
#include <string>
#include <string_view>

#include "text/tokenizer_file.h"

namespace pangu::text {

// The first line is skipped, the next 48,894 count (fewer in a test); ids follow from their order,
// the two specials are last. Error kBadInput naming `name`.
TokenizerFile read_openai_merges(std::string_view text, const std::string& name);

struct ClipFiles {
  std::string vocab_json, merges_txt;
};
// Of bpe_simple_vocab_16e6.txt.gz. Errors kIo, kBadInput.
ClipFiles clip_files_of(const std::string& openai_path);

}  // namespace pangu::text
