// The order of steps and the character tables are those of ftfy 6.3.1 (R. Speer) and of Python's
// html.unescape; the order around them that of open_clip's SimpleTokenizer.
#include "text/clean.h"

#include <utf8proc.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "text/html_entities.h"
#include "text/mojibake.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

constexpr size_t kMaxSegment = 1000000;  // ftfy, max_decode_length
constexpr int kMaxRounds = 64;           // entities within entities, and so on

bool is_ascii_digit(char32_t c) { return c >= U'0' && c <= U'9'; }
bool is_ascii_letter(char32_t c) { return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z'); }

// What the number of a character reference means to Python's html.unescape.
std::u32string numeric_reference(std::u32string_view digits, unsigned base) {
  char32_t value = 0;
  for (const char32_t c : digits) {
    const char32_t digit = is_ascii_digit(c) ? c - U'0' : (c | 32) - U'a' + 10;
    value = value > 0x10FFFF ? value : value * base + digit;
  }
  if (value == 0 || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF) {
    return std::u32string(1, kReplacement);
  }
  if (value == 0x0D) return U"\r";
  if (value >= 0x80 && value < 0xA0) {
    return std::u32string(1, windows_1252(static_cast<unsigned char>(value)));
  }
  const bool invalid = value < 0x09 || value == 0x0B || (value >= 0x0E && value < 0x20) ||
                       value == 0x7F || (value >= 0xFDD0 && value <= 0xFDEF) ||
                       (value & 0xFFFE) == 0xFFFE;
  return invalid ? std::u32string() : std::u32string(1, value);
}

struct Reference {
  size_t length = 0;  // characters of text taken, from the '&' on; 0: none
  std::u32string means;
};

// "&#123;", "&#x1F;", each with or without its semicolon.
Reference numeric_at(std::u32string_view text, size_t at) {
  if (at + 2 >= text.size() || text[at + 1] != U'#') return {};
  const bool hexadecimal = (text[at + 2] | 32) == U'x';
  const size_t first = at + (hexadecimal ? 3 : 2);
  size_t end = first;
  const auto is_digit = [&](char32_t c) {
    return is_ascii_digit(c) || (hexadecimal && (c | 32) >= U'a' && (c | 32) <= U'f' && c < 0x80);
  };
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end == first) return {};
  const auto digits = text.substr(first, end - first);
  const bool closed = end < text.size() && text[end] == U';';
  return {end - at + closed, numeric_reference(digits, hexadecimal ? 16 : 10)};
}

// "&hellip;", "&copy", "&notit" (which is "&not" and "it"), of at most 32 characters.
Reference named_at(std::u32string_view text, size_t at) {
  constexpr std::u32string_view kEnds = U"\t\n\f <&#;";
  size_t end = at + 1;
  std::string name;
  while (end < text.size() && end - at <= 32 && kEnds.find(text[end]) == kEnds.npos) {
    name.push_back(text[end] < 0x80 ? static_cast<char>(text[end]) : '\x7F');
    ++end;
  }
  if (name.empty()) return {};
  if (end < text.size() && text[end] == U';') {
    if (auto means = html_entity(name, false)) return {end + 1 - at, *means};
  }
  for (size_t length = name.size(); length > 1; --length) {
    if (auto means = html_entity(std::string_view(name).substr(0, length), true)) {
      return {length + 1, *means};
    }
  }
  return {};
}

// ftfy decodes only what ends with a semicolon, and some names in capitals ("&EACUTE;").
Reference strict_reference_at(std::u32string_view text, size_t at) {
  size_t end = at + 1;
  if (end < text.size() && text[end] == U'#') ++end;
  const size_t first = end;
  while (end < text.size() && end - first < 24 &&
         (is_ascii_digit(text[end]) || is_ascii_letter(text[end]))) {
    ++end;
  }
  if (end == first || end >= text.size() || text[end] != U';') return {};
  const size_t length = end + 1 - at;
  if (text[at + 1] == U'#') {
    Reference numeric = numeric_at(text, at);
    return numeric.length == length && numeric.means != U";" ? numeric : Reference{};
  }
  const std::string name = encode_utf8(text.substr(first, end - first));
  if (auto means = html_entity(name, false)) return {length, *means};
  std::string small = name;
  for (char& c : small) {
    if (c >= 'a' && c <= 'z') return {};
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  const auto means = html_entity(small, false);
  if (!means || named_at(text.substr(0, end + 1), at).length > 0) return {};
  // Full upper case (Unicode, SpecialCasing) where it is more than one character.
  static const std::unordered_map<std::string, std::u32string> kLonger = {
      {"ffilig", U"FFI"}, {"fflig", U"FF"},      {"ffllig", U"FFL"}, {"filig", U"FI"},
      {"fllig", U"FL"},   {"napos", U"\u02BCN"}, {"szlig", U"SS"}};
  const auto longer = kLonger.find(small);
  if (longer != kLonger.end()) return {length, longer->second};
  std::u32string upper;
  for (const char32_t c : *means) {
    upper.push_back(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
  return {length, upper};
}

template <typename Find>
std::u32string replace_references(std::u32string_view text, Find find) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Reference reference = text[at] == U'&' ? find(text, at) : Reference{};
    if (reference.length == 0) {
      out.push_back(text[at++]);
    } else {
      out += reference.means;
      at += reference.length;
    }
  }
  return out;
}

std::u32string_view ligature(char32_t c) {
  switch (c) {
    case 0x132:
      return U"IJ";
    case 0x133:
      return U"ij";
    case 0x149:
      return U"\u02BCn";
    case 0x1C4:
      return U"D\u017D";
    case 0x1C5:
      return U"D\u017E";
    case 0x1C6:
      return U"d\u017E";
    case 0x1C7:
      return U"LJ";
    case 0x1C8:
      return U"Lj";
    case 0x1C9:
      return U"lj";
    case 0x1CA:
      return U"NJ";
    case 0x1CB:
      return U"Nj";
    case 0x1CC:
      return U"nj";
    case 0x1F1:
      return U"DZ";
    case 0x1F2:
      return U"Dz";
    case 0x1F3:
      return U"dz";
    case 0xFB00:
      return U"ff";
    case 0xFB01:
      return U"fi";
    case 0xFB02:
      return U"fl";
    case 0xFB03:
      return U"ffi";
    case 0xFB04:
      return U"ffl";
    case 0xFB05:
      return U"\u017Ft";
    case 0xFB06:
      return U"st";
    default:
      return {};
  }
}

void append_plain(char32_t c, std::u32string& out) {
  if (const auto letters = ligature(c); !letters.empty()) {
    for (const char32_t letter : letters) append_plain(letter, out);
  } else if (c == 0x3000) {
    out.push_back(U' ');
  } else if (c > 0xFF00 && c < 0xFFF0) {
    for (const char32_t wide : to_nfkc(std::u32string_view(&c, 1))) out.push_back(wide);
  } else if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) {
    out.push_back(U'\'');
  } else if (c >= 0x201C && c <= 0x201F) {
    out.push_back(U'"');
  } else {
    out.push_back(c);
  }
}

bool is_unwanted_control(char32_t c) {
  return c < 0x09 || c == 0x0B || (c >= 0x0E && c < 0x20) || c == 0x7F ||
         (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

// Length of "ESC [ digits and semicolons, letter" at the place, else 0.
size_t terminal_escape(std::u32string_view text, size_t at) {
  if (text[at] != 0x1B || at + 1 >= text.size() || text[at + 1] != U'[') return 0;
  size_t end = at + 2;
  while (end < text.size() && (text[end] == U';' || is_decimal(text[end]))) ++end;
  return end < text.size() && is_ascii_letter(text[end]) ? end + 1 - at : 0;
}

// Everything of one round that looks at a few characters only.
std::u32string fix_characters(std::u32string_view text) {
  std::u32string plain;
  plain.reserve(text.size());
  for (const char32_t c : text) append_plain(c, plain);
  std::u32string lines;
  lines.reserve(plain.size());
  for (size_t at = 0; at < plain.size(); ++at) {
    const char32_t c = plain[at];
    const bool pair = c == U'\r' && at + 1 < plain.size() && plain[at + 1] == U'\n';
    if (pair) continue;
    const bool is_break = c == U'\r' || c == 0x2028 || c == 0x2029 || c == 0x85;
    lines.push_back(is_break ? U'\n' : c);
  }
  std::u32string out;
  out.reserve(lines.size());
  for (size_t at = 0; at < lines.size();) {
    if (const size_t length = terminal_escape(lines, at)) {
      at += length;
    } else {
      if (!is_unwanted_control(lines[at])) out.push_back(lines[at]);
      ++at;
    }
  }
  return to_nfc(out);
}

std::u32string fix_segment(std::u32string_view segment, bool entities) {
  std::u32string now(segment);
  for (int round = 0; round < kMaxRounds; ++round) {
    std::u32string next = entities ? replace_references(now, strict_reference_at) : now;
    next = fix_characters(fix_c1_controls(fix_encoding(next)));
    if (next == now) break;
    now = std::move(next);
  }
  return now;
}

}  // namespace

std::u32string fix_text(std::u32string_view text) {
  std::u32string out;
  bool entities = true;
  while (!text.empty()) {
    const size_t newline = text.find(U'\n');
    const size_t line = newline == text.npos ? text.size() : newline + 1;
    const auto segment = text.substr(0, std::min(line, kMaxSegment));
    // What holds '<' may be HTML, whose entities are meant; so then is all that follows.
    entities = entities && segment.find(U'<') == segment.npos;
    out += fix_segment(segment, entities);
    text.remove_prefix(segment.size());
  }
  return out;
}

std::u32string unescape_html(std::u32string_view text) {
  return replace_references(text, [](std::u32string_view all, size_t at) {
    const Reference numeric = numeric_at(all, at);
    return numeric.length > 0 ? numeric : named_at(all, at);
  });
}

std::u32string clean_open_clip(std::u32string_view text) {
  const std::u32string unescaped = unescape_html(unescape_html(fix_text(text)));
  std::u32string spaced;
  spaced.reserve(unescaped.size());
  for (const char32_t c : python_strip(unescaped)) {
    const bool space = is_python_space(c);
    if (!space) spaced.push_back(c);
    if (space && spaced.back() != U' ') spaced.push_back(U' ');
  }
  return to_lower_final_sigma(spaced);
}

std::optional<std::u32string> html_entity(std::string_view name, bool bare) {
  struct Entry {
    std::u32string means;
    bool bare;
  };
  static const std::unordered_map<std::string_view, Entry> table = [] {
    std::unordered_map<std::string_view, Entry> out;
    std::string_view rest = html_entity_table();
    while (!rest.empty()) {
      const std::string_view entry = rest.substr(0, rest.find(' '));
      const size_t colon = entry.find(':');
      std::string_view key = entry.substr(0, colon);
      const bool starred = key.ends_with('*');
      if (starred) key.remove_suffix(1);
      std::u32string means(1, 0);
      for (const char c : entry.substr(colon + 1)) {
        const char32_t digit =
            c <= '9' ? static_cast<char32_t>(c - '0') : static_cast<char32_t>(c - 'A' + 10);
        if (c == '+') {
          means.push_back(0);
        } else {
          means.back() = means.back() * 16 + digit;
        }
      }
      out.emplace(key, Entry{means, starred});
      rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    }
    return out;
  }();
  const auto found = table.find(name);
  if (found == table.end() || (bare && !found->second.bare)) return std::nullopt;
  return found->second.means;
}

}  // namespace pangu::text
