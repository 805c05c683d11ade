// UTF-8 -> token ids of BERT's vocabulary, by one of two sets of rules that differ in small print:
//   kTransformers  Hugging Face's BertTokenizer 5.19 (categories of Unicode 8, specials anywhere)
//   kPanGu         PanGu-Draw's Chinese branch (categories of today, final sigma, specials only as
//                  words of their own, no [MASK])
// Both: control characters out, Chinese characters apart, lower case, accents off (NFD, so Hangul
// falls into its letters), punctuation apart, then the longest pieces of each word from its left
// (Y. Wu et al., "Google's Neural Machine Translation System", 2016).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/tokenizer_file.h"

namespace pangu::text {

enum class BertRules { kTransformers, kPanGu };

// Immutable after construction: one object may serve many threads. Any bytes are a text: ill-formed
// UTF-8 becomes U+FFFD, which both sets of rules remove.
class WordPieceTokenizer {
 public:
  // A folder with tokenizer.json or vocab.txt (and tokenizer_config.json, special_tokens_map.json
  // if they are there), or such a file itself. Errors kIo, kBadInput.
  static WordPieceTokenizer from_path(const std::string& path,
                                      BertRules rules = BertRules::kTransformers);
  // vocab.txt: one token a line, its id the number of the line from 0. White space at the end of a
  // line goes (and at the beginning with kPanGu), so that the line of U+2028 becomes empty.
  static WordPieceTokenizer from_vocabulary(std::string_view vocab_txt,
                                            std::string_view config_json = {},
                                            std::string_view map_json = {},
                                            BertRules rules = BertRules::kTransformers,
                                            const std::string& name = "vocabulary");
  static WordPieceTokenizer from_json(std::string_view tokenizer_json,
                                      std::string_view config_json = {},
                                      std::string_view map_json = {},
                                      BertRules rules = BertRules::kTransformers,
                                      const std::string& name = "tokenizer");

  // Ids of the text alone. A word of more than 100 characters (or what tokenizer.json says), or
  // with a part that has no piece, is [UNK].
  std::vector<int32_t> tokenize(std::string_view text) const;

  // [CLS], ids cut to max_length - 2, [SEP], then pad_id (pad() if none). REQUIRES max_length >= 2.
  std::vector<int32_t> encode(std::string_view text, size_t max_length = 77,
                              std::optional<int32_t> pad_id = std::nullopt) const;

  // Tokens joined by spaces, pieces that continue a word joined to it. Not undone: spaces before
  // punctuation. Error kBadInput for an id outside of the vocabulary.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  int32_t cls() const { return cls_; }
  int32_t sep() const { return sep_; }
  int32_t pad() const { return pad_; }
  int32_t unknown() const { return unknown_; }
  int32_t vocabulary_size() const { return vocabulary_.size(); }

 private:
  WordPieceTokenizer(TokenizerFile file, const SpecialTokens& special, BertRules rules,
                     const std::string& name);
  void append_hub(std::u32string_view text, std::vector<int32_t>& ids) const;
  void append_pangu(std::u32string_view text, std::vector<int32_t>& ids) const;
  void append_word(std::u32string_view word, std::vector<int32_t>& ids) const;
  std::u32string spaced(std::u32string_view text) const;

  BertRules rules_;
  Vocabulary vocabulary_;
  std::string prefix_;  // of pieces that continue a word
  size_t max_word_chars_;
  size_t longest_chars_ = 1;
  bool lower_case_, strip_accents_, space_chinese_;
  int32_t cls_, sep_, pad_, unknown_;
  std::vector<int32_t> special_ids_;
  AddedTokens raw_;         // kTransformers: looked for in the text as typed
  AddedTokens normalised_;  // and after normalisation
};

}  // namespace pangu::text
