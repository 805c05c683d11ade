#include "app/eval/shards.h"

#include <charconv>

#include "core/error.h"

namespace pangu::app {

std::optional<std::pair<int, int>> shard_numbers(const std::string& text) {
  if (text.empty()) return std::nullopt;
  constexpr int kMostShards = 10000;
  const Error refusal =
      bad_input("--shard", "i/n with 0 <= i < n <= 10000, as 0/4", "'" + text + "'");
  const char* end = text.data() + text.size();
  int index = -1, count = -1;
  const auto [slash, bad_index] = std::from_chars(text.data(), end, index);
  if (bad_index != std::errc() || slash == end || *slash != '/') throw refusal;
  const auto [stop, bad_count] = std::from_chars(slash + 1, end, count);
  if (bad_count != std::errc() || stop != end || index < 0 || index >= count ||
      count > kMostShards) {
    throw refusal;
  }
  return std::pair(index, count);
}

}  // namespace pangu::app
