// The order of merges is that of Hugging Face tokenizers: always the lowest rank, of equals the
// leftmost; for a trained vocabulary that equals "merge all pairs of the lowest rank" of GPT-2.
#include "text/byte_pairs.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include "core/error.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

// Printable Latin-1 bytes stand for themselves, the others for U+0100 on, in order.
bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

std::array<char32_t, 256> make_characters() {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    table[static_cast<size_t>(byte)] =
        stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
  }
  return table;
}

const std::array<char32_t, 256>& characters() {
  static const std::array<char32_t, 256> table = make_characters();
  return table;
}

struct Candidate {
  int32_t rank;
  size_t at;
  int32_t result;
  // std::priority_queue gives the greatest first.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

struct Symbol {
  int32_t id;
  ptrdiff_t previous, next;  // -1: none
  bool alive = true;
};

}  // namespace

const std::string& printable_of(uint8_t byte) {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> out;
    for (size_t i = 0; i < 256; ++i) out[i] = encode_utf8(std::u32string(1, characters()[i]));
    return out;
  }();
  return table[byte];
}

std::string bytes_of_token(std::string_view token) {
  static const std::array<int, 0x200> inverse = [] {
    std::array<int, 0x200> out;
    out.fill(-1);
    for (size_t i = 0; i < 256; ++i) out[characters()[i]] = static_cast<int>(i);
    return out;
  }();
  std::string bytes;
  for (const char32_t c : decode_utf8(token)) {
    if (c >= inverse.size() || inverse[c] < 0) return std::string(token);
    bytes.push_back(static_cast<char>(inverse[c]));
  }
  return bytes;
}

BytePairs::BytePairs(const Vocabulary& vocabulary, const Merges& merges, const std::string& suffix,
                     int32_t unknown, const std::string& name) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& symbol = printable_of(static_cast<uint8_t>(byte));
    inner_[byte] = vocabulary.find(symbol);
    last_[byte] = vocabulary.find(symbol + suffix);
    if (inner_[byte] < 0) inner_[byte] = unknown;
    if (last_[byte] < 0) last_[byte] = unknown;
  }
  size_t size = 16;
  while (size < merges.size() * 2) size *= 2;
  merges_.resize(size);
  int32_t rank = 0;
  std::string joined;
  for (const auto& [left, right] : merges) {
    joined.assign(left).append(right);
    const int32_t left_id = vocabulary.find(left);
    const int32_t right_id = vocabulary.find(right);
    const int32_t result = vocabulary.find(joined);
    if (left_id < 0 || right_id < 0 || result < 0) {
      throw bad_input(name + ", merge " + std::to_string(rank), "tokens of the vocabulary",
                      "'" + left + "' and '" + right + "'",
                      "vocabulary and merges belong to different tokenizers");
    }
    const uint64_t pair = static_cast<uint64_t>(left_id) << 32 | static_cast<uint32_t>(right_id);
    slot_of(pair) = {pair, rank++, result};
  }
}

BytePairs::Merge& BytePairs::slot_of(uint64_t pair) {
  const size_t mask = merges_.size() - 1;
  size_t slot = (pair * 0x9E3779B97F4A7C15ULL >> 32) & mask;
  while (merges_[slot].pair != kFree && merges_[slot].pair != pair) slot = (slot + 1) & mask;
  return merges_[slot];
}

const BytePairs::Merge* BytePairs::find(int32_t left, int32_t right) const {
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  const Merge& found = const_cast<BytePairs*>(this)->slot_of(pair);
  return found.pair == kFree ? nullptr : &found;
}

void BytePairs::append(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.empty()) return;
  std::vector<Symbol> symbols(word.size());
  const auto count = static_cast<ptrdiff_t>(word.size());
  for (ptrdiff_t i = 0; i < count; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    symbols[static_cast<size_t>(i)] = {i + 1 == count ? last_[byte] : inner_[byte], i - 1,
                                       i + 1 == count ? -1 : i + 1};
  }
  std::vector<Candidate> storage;
  storage.reserve(word.size() * 2);
  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(storage));
  const auto offer = [&](ptrdiff_t left) {
    if (left < 0) return;
    const Symbol& symbol = symbols[static_cast<size_t>(left)];
    if (symbol.next < 0) return;
    const Merge* merge = find(symbol.id, symbols[static_cast<size_t>(symbol.next)].id);
    if (merge) queue.push({merge->rank, static_cast<size_t>(left), merge->result});
  };
  for (ptrdiff_t i = 0; i + 1 < count; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbols[top.at];
    if (!left.alive || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    // The neighbours may have changed since this was offered.
    const Merge* merge = find(left.id, right.id);
    if (!merge || merge->result != top.result) continue;
    left.id = top.result;
    right.alive = false;
    left.next = right.next;
    if (right.next >= 0) {
      symbols[static_cast<size_t>(right.next)].previous = static_cast<ptrdiff_t>(top.at);
    }
    offer(left.previous);
    offer(static_cast<ptrdiff_t>(top.at));
  }
  for (ptrdiff_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
    ids.push_back(symbols[static_cast<size_t>(i)].id);
  }
}

}  // namespace pangu::text
