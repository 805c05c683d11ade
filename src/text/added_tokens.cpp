// Plain search by first character: a tokenizer has a handful of such words, not thousands.
#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace pangu::text {

void AddedTokens::add(std::u32string word, std::vector<int32_t> ids, bool single_word) {
  for (Entry& entry : entries_) {
    if (entry.word != word) continue;
    entry.ids = std::move(ids);
    entry.single_word = single_word;
    return;
  }
  auto& same_first = by_first_[word[0]];
  const auto place = std::find_if(same_first.begin(), same_first.end(), [&](size_t index) {
    return entries_[index].word.size() < word.size();
  });
  same_first.insert(place, entries_.size());
  entries_.push_back({std::move(word), std::move(ids), single_word});
}

const AddedTokens::Entry* AddedTokens::longest_at(std::u32string_view text, size_t at) const {
  const auto found = by_first_.find(text[at]);
  if (found == by_first_.end()) return nullptr;
  for (const size_t index : found->second) {
    const Entry& entry = entries_[index];
    if (text.substr(at, entry.word.size()) == entry.word) return &entry;
  }
  return nullptr;
}

void AddedTokens::split(std::u32string_view text,
                        const std::function<void(std::u32string_view)>& on_text,
                        const std::function<void(const std::vector<int32_t>&)>& on_ids) const {
  size_t begin = 0;
  for (size_t at = 0; !entries_.empty() && at < text.size();) {
    const Entry* entry = longest_at(text, at);
    if (!entry) {
      ++at;
      continue;
    }
    const size_t end = at + entry->word.size();
    const bool inside_word = entry->single_word && ((at > 0 && is_word(text[at - 1])) ||
                                                    (end < text.size() && is_word(text[end])));
    if (!inside_word) {
      if (at > begin) on_text(text.substr(begin, at - begin));
      on_ids(entry->ids);
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) on_text(text.substr(begin));
}

}  // namespace pangu::text
