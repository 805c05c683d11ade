#include "core/quoted.h"

namespace pangu {
namespace {

constexpr char kQuote = '"';

}  // namespace

std::vector<std::string> split_outside_quotes(const std::string& text, char separator) {
  std::vector<std::string> parts = {""};
  bool quoted = false;
  for (const char c : text) {
    if (c == kQuote) quoted = !quoted;
    if (c == separator && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::string without_quotes(const std::string& text) {
  const bool quoted = text.size() > 1 && text.front() == kQuote && text.back() == kQuote;
  return quoted ? text.substr(1, text.size() - 2) : text;
}

}  // namespace pangu
