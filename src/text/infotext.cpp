#include "text/infotext.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pangu::text {
namespace {

constexpr std::string_view kNegative = "Negative prompt:";
constexpr size_t kLeastSettings = 3;  // of a line that is one of settings
constexpr std::string_view kBlanks = " \t\r\n\f\v";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_word(char c) {  // letters of other scripts too
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_name_char(char c) { return is_word(c) || c == ' ' || c == '-' || c == '/'; }

// Where a quoted value that begins at `at` ends; npos if it does not, or is empty.
size_t end_of_quote(std::string_view line, size_t at) {
  for (size_t i = at + 1; i < line.size(); ++i) {
    if (line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      return i > at + 1 ? i + 1 : std::string_view::npos;
    }
  }
  return std::string_view::npos;
}

std::string unquoted(std::string_view value) {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return std::string(value);
  const auto json = nlohmann::json::parse(value, nullptr, false);
  return json.is_string() ? json.get<std::string>() : std::string(value);
}

struct Match {
  std::string name, value;
  size_t end = 0;
};

// A setting that begins at `at`: blanks, a name of two characters at least, ":", blanks, a value up
// to a comma or the end.
std::optional<Match> setting_at(std::string_view line, size_t at) {
  at = std::min(line.find_first_not_of(kBlanks, at), line.size());
  if (at == line.size() || !is_word(line[at])) return {};
  size_t colon = at + 1;
  while (colon < line.size() && is_name_char(line[colon])) ++colon;
  if (colon < at + 2 || colon == line.size() || line[colon] != ':') return {};
  Match match{std::string(line.substr(at, colon - at)), "", 0};
  const size_t begin = std::min(line.find_first_not_of(kBlanks, colon + 1), line.size());
  if (begin < line.size() && line[begin] == '"') {
    const size_t end = end_of_quote(line, begin);
    if (end != std::string_view::npos && (end == line.size() || line[end] == ',')) {
      match.value = unquoted(line.substr(begin, end - begin));
      match.end = std::min(end + 1, line.size());
      return match;
    }
  }
  const size_t end = std::min(line.find(',', begin), line.size());
  match.value = unquoted(line.substr(begin, end - begin));
  match.end = std::min(end + 1, line.size());
  return match;
}

std::vector<std::pair<std::string, std::string>> settings_of(std::string_view line) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (size_t at = 0; at < line.size();) {
    if (auto match = setting_at(line, at)) {
      settings.emplace_back(std::move(match->name), std::move(match->value));
      at = match->end;
    } else {
      // A name that begins inside of this one ends where this one did, without a colon.
      ++at;
      while (at < line.size() && is_name_char(line[at])) ++at;
    }
  }
  return settings;
}

std::string quoted(const std::string& value) {
  const bool plain = value.find_first_of(",:\n") == std::string::npos && !value.starts_with('"');
  if (plain) return value;
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::optional<std::string> Infotext::find(std::string_view name) const {
  const auto found = std::find_if(settings.rbegin(), settings.rend(),
                                  [&](const auto& setting) { return setting.first == name; });
  return found == settings.rend() ? std::nullopt : std::optional(found->second);
}

Infotext parse_infotext(std::string_view text) {
  Infotext info;
  text = trimmed(text);
  const size_t last = text.rfind('\n');
  const size_t begin = last == std::string_view::npos ? 0 : last + 1;
  info.settings = settings_of(text.substr(begin));
  if (info.settings.size() < kLeastSettings) {
    info.settings.clear();
  } else {
    text = text.substr(0, begin == 0 ? 0 : begin - 1);
  }
  bool negative = false;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = trimmed(text.substr(at, end - at));
    at = end + 1;
    if (line.starts_with(kNegative)) {
      negative = true;
      line = trimmed(line.substr(kNegative.size()));
    }
    std::string& to = negative ? info.negative : info.prompt;
    to += (to.empty() ? "" : "\n") + std::string(line);
  }
  return info;
}

std::string to_text(const Infotext& info) {
  std::string text = info.prompt;
  if (!info.negative.empty()) {
    text += "\n" + std::string(kNegative) + " " + info.negative;
  }
  text += "\n";
  bool first = true;
  for (const auto& [name, value] : info.settings) {
    text += (first ? "" : ", ") + name + ": " + quoted(value);
    first = false;
  }
  return text;
}

}  // namespace pangu::text
