// Finding given words inside a text: special tokens that a user typed, and the placeholder words of
// textual inversion. As Hugging Face tokenizers does it: anywhere, also inside a longer word;
// leftmost first, of those that begin together the longest.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pangu::text {

class AddedTokens {
 public:
  // A later word of the same text replaces the earlier. REQUIRES: neither is empty.
  void add(std::u32string word, std::vector<int32_t> ids, bool single_word = false);
  bool empty() const { return entries_.empty(); }

  // Calls on_text for every stretch between words (never empty) and on_ids for every word, in
  // order.
  void split(std::u32string_view text, const std::function<void(std::u32string_view)>& on_text,
             const std::function<void(const std::vector<int32_t>&)>& on_ids) const;

 private:
  struct Entry {
    std::u32string word;
    std::vector<int32_t> ids;
    bool single_word;  // not next to a letter, mark, digit or underscore
  };
  const Entry* longest_at(std::u32string_view text, size_t at) const;

  std::vector<Entry> entries_;
  std::unordered_map<char32_t, std::vector<size_t>> by_first_;  // longest first
};

}  // namespace pangu::text
