// "i/n": part i of n, from 0, of work that several processes share.
#pragma once
#include <optional>
#include <string>
#include <utility>

namespace pangu::app {

// Nothing for an empty text. Error kBadInput, which names --shard, for anything but 0 <= i < n <=
// 10000.
std::optional<std::pair<int, int>> shard_numbers(const std::string& text);

}  // namespace pangu::app
