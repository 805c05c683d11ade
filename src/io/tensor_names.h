// Small tools for dotted tensor names. Not a public contract of the room.
#pragma once
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pangu::io {

// The rest of `name` behind `prefix`; nothing if it does not begin so.
inline std::optional<std::string_view> behind(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  return name.substr(prefix.size());
}

// "12.rest" -> 12 and "rest"; nothing if `name` does not begin with a plain number below 10,000 and
// a point.
struct Numbered {
  int number = 0;
  std::string_view rest;
};
inline std::optional<Numbered> numbered(std::string_view name) {
  constexpr size_t kMostDigits = 4;
  const size_t point = name.find('.');
  if (point == std::string_view::npos || point == 0 || point > kMostDigits) return std::nullopt;
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + point, number);
  if (error != std::errc() || end != name.data() + point || number < 0) return std::nullopt;
  return Numbered{number, name.substr(point + 1)};
}

// Whether any key of an ordered map begins with `prefix`.
template <typename Value>
bool any_begins(const std::map<std::string, Value>& map, const std::string& prefix) {
  const auto found = map.lower_bound(prefix);
  return found != map.end() && found->first.starts_with(prefix);
}

// Calls visit(rest, value) for every key that begins with `prefix`.
template <typename Value, typename Visit>
void for_each_below(const std::map<std::string, Value>& map, const std::string& prefix,
                    Visit visit) {
  for (auto it = map.lower_bound(prefix); it != map.end() && it->first.starts_with(prefix); ++it) {
    visit(std::string_view(it->first).substr(prefix.size()), it->second);
  }
}

// The greatest N of keys "PREFIX" + N + ".…", plus one; 0 if there are none.
template <typename Value>
int count_below(const std::map<std::string, Value>& map, const std::string& prefix) {
  int count = 0;
  for_each_below(map, prefix, [&](std::string_view rest, const Value&) {
    if (const auto item = numbered(rest)) count = std::max(count, item->number + 1);
  });
  return count;
}

// Quoted and kept short: names out of hostile files end up in messages.
inline std::string short_quoted(std::string_view text) {
  constexpr size_t kShown = 120;
  return "'" + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "...'" : "'");
}

}  // namespace pangu::io
