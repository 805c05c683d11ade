#include "data/caption_variants.h"

#include <algorithm>
#include <string_view>

#include "core/hash.h"
#include "core/rng.h"

namespace pangu::data {
namespace {

constexpr std::string_view kKeepMark = "|||";
constexpr size_t kStreamDigits = 16;  // hexadecimal, of a hash

std::string without_blanks_around(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first));
}

std::vector<std::string> tags_of(std::string_view text) {
  std::vector<std::string> tags;
  while (true) {
    const size_t comma = text.find(',');
    std::string tag = without_blanks_around(text.substr(0, comma));
    if (!tag.empty()) tags.push_back(std::move(tag));
    if (comma == std::string_view::npos) return tags;
    text.remove_prefix(comma + 1);
  }
}

// Tags that stay at the front, and those that may move.
struct Tags {
  std::vector<std::string> fixed, free;
};

Tags parted(const std::string& caption, int64_t keep_tokens) {
  const size_t mark = caption.find(kKeepMark);
  if (mark != std::string::npos) {
    return {tags_of(std::string_view(caption).substr(0, mark)),
            tags_of(std::string_view(caption).substr(mark + kKeepMark.size()))};
  }
  std::vector<std::string> all = tags_of(caption);
  const auto kept = std::min<std::ptrdiff_t>(keep_tokens, std::ssize(all));
  return {{all.begin(), all.begin() + kept}, {all.begin() + kept, all.end()}};
}

std::string joined(const std::vector<std::string>& tags) {
  std::string text;
  for (const std::string& tag : tags) text += (text.empty() ? "" : ", ") + tag;
  return text;
}

}  // namespace

std::vector<std::string> caption_variants(const std::string& caption, const CaptionChanges& changes,
                                          int64_t count) {
  const Tags tags = parted(caption, changes.keep_tokens);
  Rng rng(changes.seed, std::stoull(sha256_hex(caption).substr(0, kStreamDigits), nullptr, 16));
  std::vector<std::string> variants;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<std::string> free = tags.free;
    if (changes.shuffle_caption) {
      for (size_t k = free.size(); k > 1; --k) std::swap(free[k - 1], free[rng.below(k)]);
    }
    std::vector<std::string> all = tags.fixed;
    for (std::string& tag : free) {
      if (rng.uniform() >= changes.caption_tag_dropout_rate) all.push_back(std::move(tag));
    }
    variants.push_back(joined(all));
  }
  return variants;
}

void vary_captions(std::vector<Item>& items_, const CaptionChanges& changes, int64_t count) {
  if (changes.is_none()) return;
  const auto vary = [&](std::vector<std::string>& captions) {
    std::vector<std::string> all;
    for (const std::string& caption : captions) {
      for (std::string& one : caption_variants(caption, changes, count)) {
        all.push_back(std::move(one));
      }
    }
    captions = std::move(all);
  };
  for (Item& item : items_) {
    vary(item.captions_en);
    vary(item.captions_zh);
  }
}

}  // namespace pangu::data
