// A scanner of TOML's strings and comments (TOML 1.0, "Comment" and "String"); it reads nothing
// else of TOML.
#include "core/toml_text.h"

#include <algorithm>

#include "core/error.h"

namespace pangu {
namespace {

constexpr int kMaxDots = 64;

// Whether a comment or a string of one line ends here at the latest. More characters end a line
// here than in TOML: a scanner that ends a comment too early is only stricter than the parser.
bool ends_line(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at);
  return rest[0] == '\n' || rest[0] == '\r' || rest[0] == '\v' || rest[0] == '\f' ||
         rest.substr(0, 2) == "\xC2\x85" || rest.substr(0, 3) == "\xE2\x80\xA8" ||
         rest.substr(0, 3) == "\xE2\x80\xA9";
}

size_t after_line(std::string_view text, size_t at) {
  while (at < text.size() && !ends_line(text, at)) ++at;
  return at;
}

// The position behind the string that opens at `at`, or the point where that string is malformed.
size_t after_string(std::string_view text, size_t at) {
  const char quote = text[at];
  const bool escapes = quote == '"';
  const std::string three(3, quote);
  const bool lines = text.substr(at, 3) == three;
  for (at += lines ? 3 : 1; at < text.size(); ++at) {
    if (escapes && text[at] == '\\') {
      ++at;
    } else if (lines && text.substr(at, 3) == three) {
      at += 3;
      // Up to two quotes may stand before the closing three.
      for (int extra = 0; extra < 2 && at < text.size() && text[at] == quote; ++extra) ++at;
      return at;
    } else if (!lines && (text[at] == quote || ends_line(text, at))) {
      return text[at] == quote ? at + 1 : at;
    }
  }
  return text.size();
}

long line_of(std::string_view text, size_t at) {
  return 1 + std::count(text.begin(), text.begin() + static_cast<long>(at), '\n');
}

// The UTF-8 character at `at`, as far as its lead byte promises.
std::string character_at(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  return std::string(text.substr(at, lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2));
}

}  // namespace

void check_toml_characters(std::string_view text, const std::string& name) {
  size_t at = text.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0;  // byte order mark
  int dots = 0;  // of the present key: since the last line, "=", "," or bracket
  while (at < text.size()) {
    if (text[at] == '.') {
      if (++dots > kMaxDots) {
        throw bad_input(name + ":" + std::to_string(line_of(text, at)),
                        "keys of at most " + std::to_string(kMaxDots) + " tables", "more");
      }
    } else if (text[at] == '\n' || text[at] == '=' || text[at] == ',' || text[at] == '[' ||
               text[at] == '{') {
      dots = 0;
    }
    if (text[at] == '#') {
      at = after_line(text, at);
    } else if (text[at] == '"' || text[at] == '\'') {
      at = after_string(text, at);
    } else if (static_cast<unsigned char>(text[at]) >= 0x80) {
      throw bad_input(name + ":" + std::to_string(line_of(text, at)),
                      "ASCII outside of quotes and comments", "'" + character_at(text, at) + "'",
                      "put text in quotes; commas and quotes of a Chinese keyboard are others");
    } else {
      ++at;
    }
  }
}

}  // namespace pangu
