#include "data/brace_list.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace pangu::data {
namespace {

constexpr size_t kMaxNames = 1'000'000;
constexpr size_t kMaxDigits = 18;

Error bad_pattern(const std::string& pattern, const std::string& found) {
  return bad_input("list '" + pattern + "'",
                   "{first..last} or {one,other}, at most a million names", found);
}

std::optional<uint64_t> digits_of(std::string_view text) {
  uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = failed == std::errc() && end == text.data() + text.size();
  if (!whole || text.size() > kMaxDigits) return std::nullopt;
  return value;
}

std::vector<std::string> values_of(const std::string& pattern, const std::string& inside) {
  std::vector<std::string> values;
  if (const size_t dots = inside.find(".."); dots != std::string::npos) {
    const std::string from = inside.substr(0, dots), to = inside.substr(dots + 2);
    const auto first = digits_of(from), last = digits_of(to);
    if (!first || !last || *first > *last || *last - *first >= kMaxNames) {
      throw bad_pattern(pattern, "{" + inside + "}");
    }
    const bool padded = (from.size() > 1 && from[0] == '0') || (to.size() > 1 && to[0] == '0');
    for (uint64_t i = *first; i <= *last; ++i) {
      std::string number = std::to_string(i);
      if (padded && number.size() < from.size()) {
        number.insert(0, from.size() - number.size(), '0');
      }
      values.push_back(std::move(number));
    }
    return values;
  }
  for (size_t at = 0; at <= inside.size();) {
    const size_t comma = std::min(inside.find(',', at), inside.size());
    values.push_back(inside.substr(at, comma - at));
    at = comma + 1;
  }
  if (values.size() < 2) throw bad_pattern(pattern, "{" + inside + "}");
  return values;
}

}  // namespace

std::vector<std::string> expand_braces(const std::string& pattern) {
  std::vector<std::string> names = {""};
  for (size_t at = 0; at < pattern.size();) {
    const size_t open = std::min(pattern.find('{', at), pattern.size());
    for (std::string& name : names) name.append(pattern, at, open - at);
    if (open == pattern.size()) break;
    const size_t close = pattern.find('}', open);
    if (close == std::string::npos) throw bad_pattern(pattern, "a { without }");
    const auto values = values_of(pattern, pattern.substr(open + 1, close - open - 1));
    if (names.size() * values.size() > kMaxNames) throw bad_pattern(pattern, "more");
    std::vector<std::string> longer;
    for (const std::string& name : names) {
      for (const std::string& value : values) longer.push_back(name + value);
    }
    names = std::move(longer);
    at = close + 1;
  }
  return names;
}

}  // namespace pangu::data
