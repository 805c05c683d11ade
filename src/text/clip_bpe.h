// UTF-8 -> token ids of CLIP's text encoders, in the two ways that exist:
//   kTransformers  Hugging Face's CLIPTokenizer 5.19 (NFC, white space, lower case): SD 1, SD 2,
//   SDXL kOpenClip      SimpleTokenizer of OpenAI and open_clip (ftfy, HTML entities, lower case;
//   see
//                  text/clean.h for what of ftfy): PanGu-Draw's bigG branch
// Both split at contractions, runs of letters, single numbers and runs of the rest, then merge byte
// pairs. Knows no weights and no chunks (text/prompt.h).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/added_tokens.h"
#include "text/byte_pairs.h"
#include "text/tokenizer_file.h"

namespace pangu::text {

enum class ClipCleaning { kTransformers, kOpenClip };

// add_token aside immutable after construction: one object may serve many threads.
// Any bytes are a text: each ill-formed part of UTF-8 counts as one U+FFFD (text/utf8.h).
class ClipTokenizer {
 public:
  // A folder with tokenizer.json, or vocab.json and merges.txt (each with tokenizer_config.json and
  // special_tokens_map.json if they are there), or bpe_simple_vocab_16e6.txt.gz; or one such
  // tokenizer.json or .txt.gz itself. Errors kIo, kBadInput (naming file and key).
  static ClipTokenizer from_path(const std::string& path,
                                 ClipCleaning cleaning = ClipCleaning::kTransformers);

  // The same from texts. An empty config or map counts as absent.
  static ClipTokenizer from_json(std::string_view tokenizer_json, std::string_view config_json = {},
                                 std::string_view map_json = {},
                                 ClipCleaning cleaning = ClipCleaning::kTransformers,
                                 const std::string& name = "tokenizer");
  static ClipTokenizer from_vocabulary(std::string_view vocab_json, std::string_view merges_txt,
                                       std::string_view config_json = {},
                                       std::string_view map_json = {},
                                       ClipCleaning cleaning = ClipCleaning::kTransformers,
                                       const std::string& name = "tokenizer");
  // OpenAI's merges file: the first line is skipped, the next 48,894 count (fewer in a test), ids
  // follow from their order, the two specials are last.
  static ClipTokenizer from_openai_merges(std::string_view text,
                                          ClipCleaning cleaning = ClipCleaning::kOpenClip,
                                          const std::string& name = "merges");

  // Ids of the text alone: no begin, no end, no limit. Specials that the text spells become their
  // ids: "<|startoftext|>" and "<|endoftext|>" (and a special pad, as "!" in SDXL's second
  // tokenizer) anywhere; with kOpenClip "<start_of_text>" and "<end_of_text>", where the splitting
  // meets them (not behind other punctuation). Placeholder words become the ids given for them.
  std::vector<int32_t> tokenize(std::string_view text) const;

  // bos, tokens cut to max_length - 2, eos, then pad_id (pad() if none) up to max_length.
  // REQUIRES max_length >= 2.
  std::vector<int32_t> encode(std::string_view text, size_t max_length = 77,
                              std::optional<int32_t> pad_id = std::nullopt) const;

  // Text of ids, words separated by one space, as CLIPTokenizer.decode. Ill-formed UTF-8 becomes
  // U+FFFD. Error kBadInput for an id that is neither in the vocabulary nor added.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // A placeholder word of textual inversion: wherever the normalised text holds the (normalised)
  // word, `ids` stand for it, one for each vector, also beyond the vocabulary. As
  // CLIPTokenizer.add_tokens, also inside longer words. A later word of the same text replaces.
  // Error kBadInput if the word is empty after normalisation, there are no ids, or one is negative.
  void add_token(const std::string& word, std::vector<int32_t> ids);

  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }
  int32_t pad() const { return pad_; }
  // One beyond the greatest id of the files (rows of the embedding table).
  int32_t vocabulary_size() const { return vocabulary_.size(); }
  ClipCleaning cleaning() const { return cleaning_; }

 private:
  ClipTokenizer(TokenizerFile file, const SpecialTokens& special, ClipCleaning cleaning,
                const std::string& name);
  void add_special(const std::vector<AddedToken>& tokens);
  std::u32string normalise(std::u32string_view text) const;
  void append_normalised(std::u32string_view text, std::vector<int32_t>& ids) const;
  void append_words(std::u32string_view text, std::vector<int32_t>& ids) const;

  ClipCleaning cleaning_;
  Vocabulary vocabulary_;
  int32_t bos_, eos_, pad_;
  BytePairs pairs_;
  std::vector<int32_t> special_ids_;
  AddedTokens raw_;                                       // looked for in the text as typed
  AddedTokens normalised_;                                // looked for after normalisation
  std::unordered_map<int32_t, std::string> added_names_;  // of ids that add_token brought
};

}  // namespace pangu::text
