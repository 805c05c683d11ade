#include "core/file_options.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace pangu {
namespace {

constexpr std::string_view kKeyLetters = "abcdefghijklmnopqrstuvwxyz_";

// Where the next ",key=" begins, from `start` on; npos: nowhere.
size_t next_option(std::string_view text, size_t start) {
  for (size_t comma = text.find(',', start); comma != std::string_view::npos;
       comma = text.find(',', comma + 1)) {
    const size_t end = text.find_first_not_of(kKeyLetters, comma + 1);
    if (end != std::string_view::npos && end > comma + 1 && text[end] == '=') return comma;
  }
  return std::string_view::npos;
}

bool is_there(const std::string& file) {
  std::error_code unreadable;  // such as a name that is too long
  return std::filesystem::exists(file, unreadable);
}

}  // namespace

FileOptions file_options_from(const std::string& text) {
  if (is_there(text)) return {text, {}};
  size_t comma = next_option(text, 0);
  for (size_t later = comma; later != std::string::npos; later = next_option(text, later + 1)) {
    if (is_there(text.substr(0, later))) comma = later;
  }
  FileOptions found{text.substr(0, comma), {}};
  while (comma != std::string::npos) {
    const size_t equals = text.find('=', comma), next = next_option(text, equals + 1);
    const size_t end = std::min(next, text.size());
    found.options.emplace_back(text.substr(comma + 1, equals - comma - 1),
                               text.substr(equals + 1, end - equals - 1));
    comma = next;
  }
  return found;
}

bool has_lost_comma(const FileOptions& options) {
  return options.file.find(',') != std::string::npos && !is_there(options.file);
}

}  // namespace pangu
