// The files of Hugging Face tokenizers -> plain structs: vocab.json, merges.txt, tokenizer.json,
// tokenizer_config.json, special_tokens_map.json. Knows their syntax, not what a tokenizer does.
// Every list is bounded and checked here, as the files come from strangers.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pangu::text {

// Ids are below this; real vocabularies reach 250,000.
inline constexpr int32_t kMaxTokenIds = 1 << 20;

// Token <-> id. Ids may have gaps; a token has one id and an id one token.
class Vocabulary {
 public:
  // Error kBadInput if the id is not in 0..kMaxTokenIds-1 or already another token's. A token that
  // is there already moves to the new id, as in a JSON object whose last key wins.
  void add(std::string token, int64_t id, const std::string& file);
  int32_t find(std::string_view token) const;  // -1 if absent
  // One beyond the greatest id.
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  bool has(int32_t id) const;
  const std::string& token(int32_t id) const;  // Error kBadInput if there is none

 private:
  size_t slot_of(std::string_view token) const;
  void grow();

  std::vector<std::string> tokens_;
  std::vector<bool> used_;
  std::vector<int32_t> slots_;  // open addressing; -1 is free, size a power of two
  size_t count_ = 0;
};

// A token that is looked for in the text itself, before any splitting.
struct AddedToken {
  std::string content;
  int32_t id = -1;  // -1: the vocabulary knows
  bool special = false;
  bool normalized = false;  // looked for after normalisation (and itself normalised)
  bool single_word = false;
};

using Merges = std::vector<std::pair<std::string, std::string>>;  // in order of rank

struct TokenizerFile {
  std::string model_type;  // "BPE", "WordPiece"; empty for vocab.json
  std::string unknown_token;
  std::string end_of_word_suffix;
  std::string continuing_prefix;
  int64_t max_word_chars = 100;
  Vocabulary vocabulary;
  Merges merges;
  std::vector<AddedToken> added;
};

// Error kBadInput, naming `name`, for anything that is not such a file.
TokenizerFile read_tokenizer_json(std::string_view json, const std::string& name);
Vocabulary read_vocab_json(std::string_view json, const std::string& name);
// Lines "left right"; lines that begin with "#version" and empty lines are skipped.
// At most `most` merges are read.
Merges read_merges(std::string_view text, const std::string& name, size_t most = kMaxTokenIds);

// What tokenizer_config.json and special_tokens_map.json say (either may be empty text): the named
// tokens, and in which order and with which properties the reference (transformers 5) adds them to
// those of tokenizer.json. A later entry replaces an earlier one of the same content.
struct SpecialTokens {
  std::string bos, eos, unk, pad, sep, cls, mask;  // empty: not named
  std::vector<AddedToken> added;
  bool lower_case = true;              // BERT: do_lower_case
  bool tokenize_chinese_chars = true;  // BERT
  int strip_accents = -1;              // BERT: -1 is "as lower_case"
};
// `defaults` holds the names that the tokenizer's class has by itself; `known` the added tokens of
// tokenizer.json, if any.
SpecialTokens read_special_tokens(std::string_view config_json, std::string_view map_json,
                                  const SpecialTokens& defaults,
                                  const std::vector<AddedToken>& known, const std::string& name);

}  // namespace pangu::text
