// UTF-8 -> token ids by a SentencePiece Unigram model, read from a Hugging Face tokenizer.json.
// Not a general reader of that format: exactly XLM-R's pipeline (normalise, split at white space,
// one U+2581 before each word, best segmentation, <s> ... </s>). Maths: T. Kudo, "Subword
// Regularization", 2018: the segmentation of greatest summed log probability, found by Viterbi.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pangu::text {

// Longer input is cut at this many bytes before anything else; 512 tokens never need as much.
inline constexpr size_t kMaxUnigramBytes = size_t{64} << 10;

// Immutable after construction: one object may serve many threads.
class UnigramTokenizer {
 public:
  // Error kIo if unreadable, kBadInput if it is not JSON, not Unigram, or asks for a normaliser or
  // pre-tokenizer that is not XLM-R's.
  static UnigramTokenizer from_file(const std::string& path);
  static UnigramTokenizer from_json(std::string_view json, const std::string& name = "tokenizer");

  // <s>, at most max_tokens - 2 pieces, </s>. Any bytes are accepted: ill-formed UTF-8 counts as a
  // space, a character without a piece is <unk> (neighbours in one word share one <unk>). Text that
  // spells a special token ("</s>") is ordinary text. REQUIRES max_tokens >= 2.
  std::vector<int32_t> encode(std::string_view utf8, size_t max_tokens = 512) const;

  // The text that is segmented: NFKC after XLM-R's own changes, words joined by single spaces.
  // XLM-R's map differs from NFKC thus (all but the last are followed here): control characters
  // vanish; tab, line ends, zero-width characters, U+2581, U+FEFF, U+FFFD become spaces; U+FF5E
  // (full-width tilde) stays, where NFKC makes it '~'. Full-width punctuation becomes ASCII and
  // U+3000 a space by NFKC itself.
  static std::string normalise(std::string_view utf8);

  int32_t vocabulary_size() const { return static_cast<int32_t>(pieces_.size()); }
  const std::string& piece(int32_t id) const;  // Error kBadInput if out of range
  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }
  int32_t pad() const { return pad_; }
  int32_t unknown() const { return unknown_; }

 private:
  struct Scored {
    int32_t id;
    double score;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  UnigramTokenizer() = default;
  void append_word(std::u32string_view word, std::vector<int32_t>& ids) const;

  std::vector<std::string> pieces_;
  std::unordered_map<std::string, Scored, TextHash, std::equal_to<>> lookup_;  // without specials
  size_t longest_bytes_ = 0;
  double unknown_score_ = 0;
  int32_t bos_ = 0, eos_ = 0, pad_ = 0, unknown_ = 0;
};

}  // namespace pangu::text
