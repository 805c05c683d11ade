// Byte-pair encoding of one word: bytes -> symbols -> merges in order of rank. Knows no text
// cleaning and no splitting. Method: R. Sennrich et al., "Neural Machine Translation of Rare Words
// with Subword Units", 2016; bytes as printable characters: the tokenizer of GPT-2.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_file.h"

namespace pangu::text {

// The printable character that stands for each byte in vocabulary files (GPT-2's table), as UTF-8.
const std::string& printable_of(uint8_t byte);
// Its inverse for a whole token: the bytes that it stands for; the token itself if a character of
// it stands for none.
std::string bytes_of_token(std::string_view token);

class BytePairs {
 public:
  // The last byte of a word has `suffix` appended ("</w>"). Error kBadInput if a merge names a
  // token that is not in the vocabulary. REQUIRES: unknown is an id of the vocabulary.
  BytePairs(const Vocabulary& vocabulary, const Merges& merges, const std::string& suffix,
            int32_t unknown, const std::string& name);

  // Appends the ids of one word, given as its bytes. O(n log n). A byte whose symbol is not in the
  // vocabulary is `unknown`.
  void append(std::string_view word, std::vector<int32_t>& ids) const;

 private:
  struct Merge {
    uint64_t pair = kFree;  // left << 32 | right
    int32_t rank = 0;
    int32_t result = 0;
  };
  static constexpr uint64_t kFree = UINT64_MAX;

  const Merge* find(int32_t left, int32_t right) const;
  Merge& slot_of(uint64_t pair);

  std::vector<Merge> merges_;  // open addressing, size a power of two
  int32_t inner_[256];         // byte -> id
  int32_t last_[256];          // byte with the suffix -> id
};

}  // namespace pangu::text
