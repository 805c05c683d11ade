// Each table and rule is that of ftfy 6.3 cut down to the characters of Latin-1, Windows-1252 and
// U+FFFD; regular expressions are written out by hand.
#include "text/mojibake.h"

#include <optional>

#include "text/unicode.h"
#include "text/utf8.h"

namespace pangu::text {
namespace {

constexpr unsigned char kSubstitute = 0x1A;  // a byte that had become U+FFFD
constexpr int kMaxRounds = 64;               // a text that was misread more often is lost

constexpr char32_t kHigh[32] = {0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021,
                                0x2C6,  0x2030, 0x160,  0x2039, 0x152,  0x8D,   0x17D,  0x8F,
                                0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178};

// Classes of characters, one bit each.
enum : unsigned {
  kCommon = 1,
  kC1 = 2,
  kBad = 4,
  kLaw = 8,
  kCurrency = 16,
  kStart = 32,  // opening punctuation
  kEnd = 64,    // closing punctuation
  kNumeric = 128,
  kUpper = 256,  // accented capitals
  kLower = 512,  // accented small letters
};

bool one_of(char32_t c, std::u32string_view set) {
  return set.find(c) != std::u32string_view::npos;
}

unsigned class_of(char32_t c) {
  if (c < 0x80) return 0;
  if (c < 0xA0) return kC1;
  unsigned kind = 0;
  if (one_of(c, U"\u00A0\u00AD\u00B7\u00B4\u2013\u2014\u2015\u2026\u2019")) kind |= kCommon;
  if (one_of(c, U"¦¤¨¬¯¸ªº\u0192\u02C6\u02DC\u2020\u2021\u2030\uFFFD")) kind |= kBad;
  if (one_of(c, U"¶§")) kind |= kLaw;
  if (one_of(c, U"¢£¥€")) kind |= kCurrency;
  if (one_of(c, U"¡«¿©\u2018\u201A\u201C\u201E\u2022\u2039")) kind |= kStart;
  if (one_of(c, U"®»\u201D\u203A\u2122")) kind |= kEnd;
  if (one_of(c, U"²³¹±¼½¾×µ÷")) kind |= kNumeric;
  if ((c >= 0xC0 && c <= 0xD1) || one_of(c, U"ØÜÝŒŠŸŽ")) kind |= kUpper;
  if ((c >= 0xDF && c <= 0xF1) || one_of(c, U"üœšž")) kind |= kLower;
  return kind;
}

bool is_ascii_letter(char32_t c) { return (c | 32) >= U'a' && (c | 32) <= U'z' && c < 0x80; }
bool is_small(char32_t c) { return c >= U'a' && c <= U'z'; }

constexpr unsigned kAny = kLower | kUpper | kStart | kEnd | kCurrency | kNumeric | kLaw;

// Rules of two characters, by their classes.
bool bad_pair(unsigned a, unsigned b) {
  return ((a & (kBad | kAny)) && (b & kBad)) || ((a & kBad) && (b & kAny)) ||
         ((a & (kLower | kEnd | kCurrency | kNumeric)) && (b & kUpper)) ||
         ((a & (kEnd | kCurrency | kNumeric)) && (b & kLower)) ||
         ((a & (kLower | kEnd)) && (b & kCurrency)) || ((a & kUpper) && (b & (kNumeric | kLaw))) ||
         ((a & (kCurrency | kNumeric)) && (b & kStart));
}

// Rules of two characters, by name.
bool bad_named_pair(char32_t a, char32_t b, unsigned kind_a, unsigned kind_b) {
  return (one_of(a, U"Œœ") && !is_ascii_letter(b)) || ((kind_a & kUpper) && b == U'°') ||
         (one_of(a, U"ÂÃÎÐ") &&
          (one_of(b, U"€œŠš¢£Ÿž\u00A0\u00AD®©°·»\u2013\u2014´") || (kind_b & (kStart | kEnd)))) ||
         (a == U'×' && one_of(b, U"²³")) || (a == U'à' && one_of(b, U"²µ¹¼½¾")) ||
         (a == U'Ã' && one_of(b, U"\u00A0¡"));
}

// Letters that Arabic begins with when it is misread, and what follows them.
bool arabic_pair(char32_t a, char32_t b) {
  return one_of(a, U"ØÙ") &&
         ((class_of(b) & (kCommon | kCurrency | kBad | kNumeric | kStart)) || one_of(b, U"ŸŠ®°µ»"));
}

bool bad_at(std::u32string_view text, size_t at) {
  const auto c = [&](size_t offset) -> char32_t {
    return at + offset < text.size() ? text[at + offset] : U'\0';
  };
  const size_t left = text.size() - at;
  const unsigned first = class_of(c(0));
  if (first & kC1) return true;
  if (at == 0 && left >= 2 && one_of(c(0), U"ÃÂ") && c(1) == U' ') return true;
  if (left < 2) return false;
  const unsigned second = class_of(c(1));
  if (bad_pair(first, second) || bad_named_pair(c(0), c(1), first, second)) return true;
  if (left < 3) return false;
  const unsigned third = class_of(c(2));
  if (is_ascii_letter(c(0)) && c(1) == U'Þ' && (third & kBad)) return true;
  if (is_python_space(c(0)) && (second & kUpper) && (third & kCurrency)) return true;
  if ((first & (kLower | kUpper | kCurrency | kEnd)) && (second & kStart) && (third & kNumeric)) {
    return true;
  }
  if ((first & (kLower | kUpper | kCurrency | kNumeric | kLaw)) && (second & kEnd) &&
      (third & kStart)) {
    return true;
  }
  if (is_small(c(0)) && (second & kUpper) && (third & (kStart | kCurrency))) return true;
  if ((first & (kLower | kUpper)) && (second & (kStart | kEnd)) &&
      (is_letter(c(2)) || is_number(c(2)) || c(2) == U'_')) {
    return true;
  }
  if (c(0) == U'\u201A' && ((c(1) == U'Ä' && one_of(c(2), U"ìîïòôúùû†°¢")) ||
                            (one_of(c(1), U"âó") && one_of(c(2), U"àä°ê")))) {
    return true;
  }
  if (is_small(c(0))) {
    const size_t skipped = is_python_space(c(1)) ? 1 : 0;
    if (one_of(c(1 + skipped), U"ÃÂ") && c(2 + skipped) == U' ' && left >= 3 + skipped) return true;
  }
  if ((is_small(c(0)) || one_of(c(0), U".,?!") || (first & kEnd)) && c(1) == U'Â' &&
      (c(2) == U' ' || (third & (kStart | kEnd)))) {
    return true;
  }
  return left >= 4 && arabic_pair(c(0), c(1)) && arabic_pair(c(2), c(3));
}

std::optional<std::string> as_latin1(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) {
    if (c > 0xFF) return std::nullopt;
    bytes.push_back(static_cast<char>(c));
  }
  return bytes;
}

// -1 if Windows-1252 (with its gaps filled by Latin-1, and U+FFFD as the substitute) lacks it.
int sloppy_byte(char32_t c) {
  if (c < 0x80) return c == kSubstitute ? -1 : static_cast<int>(c);
  if (c == kReplacement) return kSubstitute;
  if (c >= 0xA0 && c <= 0xFF) return static_cast<int>(c);
  for (int i = 0; i < 32; ++i) {
    if (kHigh[i] == c) return 0x80 + i;
  }
  return -1;
}

std::optional<std::string> as_windows_1252(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) {
    const int byte = sloppy_byte(c);
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

// Bytes at a place, 0 behind the end.
struct At {
  std::string_view bytes;
  size_t at;
  unsigned char operator[](size_t i) const {
    return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0;
  }
  size_t left() const { return bytes.size() - at; }
};

bool in(unsigned char byte, int low, int high) { return byte >= low && byte <= high; }
bool is_continuation(unsigned char byte) { return in(byte, 0x80, 0xBF); }

// How many bytes at the place would be UTF-8 if a space in them were byte A0; 0 if none.
size_t altered(const At& b) {
  const auto strict = [](unsigned char c) { return is_continuation(c) && c != 0x85 && c != 0xA0; };
  const bool lead_of_two =
      b[0] == 0xC2 || b[0] == 0xC3 || b[0] == 0xC5 || b[0] == 0xCE || b[0] == 0xD0 || b[0] == 0xD9;
  if (lead_of_two && b[1] == ' ') return 2;
  if ((b[0] == 0xE2 || b[0] == 0xE3) && b[1] == ' ' && strict(b[2])) return 3;
  if (in(b[0], 0xE0, 0xE3) && strict(b[1]) && b[2] == ' ') return 3;
  if (b[0] != 0xF0) return 0;
  const int spaces = (b[1] == ' ') + (b[2] == ' ') + (b[3] == ' ');
  const int continuations = is_continuation(b[1]) + is_continuation(b[2]) + is_continuation(b[3]);
  return spaces == 1 && continuations == 2 ? 4 : 0;
}

std::string restore_byte_a0(const std::string& bytes) {
  std::string spaced;
  for (size_t at = 0; at < bytes.size(); ++at) {
    spaced.push_back(bytes[at]);
    if (bytes.compare(at, 2, "\xC3 ") != 0) continue;
    const std::string_view rest = std::string_view(bytes).substr(at + 2);
    bool joined = false;  // the French word alone keeps its space, Portuguese words begin with it
    for (const char* next : {" ", "quele", "quela", "quilo", "s "}) {
      joined = joined || rest.starts_with(next);
    }
    if (!joined) spaced.push_back('\xA0');
  }
  for (size_t at = 0; at < spaced.size();) {
    const size_t length = altered({spaced, at});
    for (size_t i = at; i < at + length; ++i) {
      if (spaced[i] == ' ') spaced[i] = '\xA0';
    }
    at += length > 0 ? length : 1;
  }
  return spaced;
}

// How many bytes at the place are a UTF-8 sequence with a lost byte.
size_t lossy(const At& b) {
  const auto lost = [](unsigned char c) { return c == kSubstitute || c == '?'; };
  const auto tail = [](unsigned char c) { return c == kSubstitute || is_continuation(c); };
  const auto either = [&](unsigned char c) { return lost(c) || tail(c); };
  if (in(b[0], 0xC2, 0xDF) && b[1] == kSubstitute) return 2;
  if (in(b[0], 0xC2, 0xC3) && b[1] == '?') return 2;
  if (b[0] == 0xED && in(b[1], 0xA0, 0xAF) && b[3] == 0xED && in(b[4], 0xB0, 0xBF) &&
      ((lost(b[2]) && either(b[5])) || (either(b[2]) && lost(b[5])))) {
    return 6;
  }
  if (in(b[0], 0xE0, 0xEF) && ((lost(b[1]) && tail(b[2])) || (tail(b[1]) && lost(b[2])))) return 3;
  if (in(b[0], 0xF0, 0xF4) &&
      ((lost(b[1]) && tail(b[2]) && tail(b[3])) || (tail(b[1]) && lost(b[2]) && tail(b[3])) ||
       (tail(b[1]) && tail(b[2]) && lost(b[3])))) {
    return 4;
  }
  return b[0] == kSubstitute ? 1 : 0;
}

std::string replace_lossy(const std::string& bytes) {
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = lossy({bytes, at});
    if (length == 0) {
      out.push_back(bytes[at++]);
    } else {
      out += "\xEF\xBF\xBD";
      at += length;
    }
  }
  return out;
}

// Strict UTF-8; also surrogate pairs written as two characters (CESU-8) and C0 80 for U+0000.
std::optional<std::u32string> strict_utf8(const std::string& bytes) {
  std::string plain;
  for (size_t at = 0; at < bytes.size(); ++at) {
    const At b{bytes, at};
    if (b[0] == 0xC0 && b[1] == 0x80) {
      plain.push_back('\0');
      ++at;
    } else if (b[0] == 0xED && in(b[1], 0xA0, 0xAF) && is_continuation(b[2]) && b[3] == 0xED &&
               in(b[4], 0xB0, 0xBF) && is_continuation(b[5])) {
      const char32_t high = static_cast<char32_t>((b[1] & 0x0F) << 6 | (b[2] & 0x3F));
      const char32_t low = static_cast<char32_t>((b[4] & 0x0F) << 6 | (b[5] & 0x3F));
      plain += encode_utf8(std::u32string(1, 0x10000 + (high << 10) + low));
      at += 5;
    } else {
      plain.push_back(bytes[at]);
    }
  }
  std::u32string text = decode_utf8(plain);
  if (encode_utf8(text) != plain) return std::nullopt;
  return text;
}

std::optional<std::u32string> read_again(std::string bytes, bool sloppy) {
  bool any = false;
  for (size_t at = 0; at < bytes.size() && !any; ++at) any = altered({bytes, at}) > 0;
  if (any) bytes = restore_byte_a0(bytes);
  if (sloppy) bytes = replace_lossy(bytes);
  return strict_utf8(bytes);
}

// The 0x80..0xBF of UTF-8 as Latin-1 or Windows-1252 show them, and, of what Windows-1257 does, the
// letters that those two have as well; a space may have been A0.
bool looks_like_continuation(char32_t c) {
  if (c == U' ' || (c >= 0x80 && c <= 0xBF) || one_of(c, U"ÆØæø")) return true;
  const int byte = c == kReplacement ? -1 : sloppy_byte(c);
  return byte >= 0x80 && byte <= 0x9F;
}

bool is_strict_continuation(char32_t c) {
  return looks_like_continuation(c) &&
         !one_of(c, U" \u2013\u2014\u2018\u2019\u201A\u201C\u201D\u201E\u2022\u2026");
}

// End of a run of what looks like UTF-8 sequences from `at`, or `at`.
size_t run_end(std::u32string_view text, size_t at) {
  while (at < text.size()) {
    const char32_t c = text[at];
    const size_t tail = c >= 0xC2 && c <= 0xDF        ? 1
                        : c >= 0xE0 && c <= 0xEF      ? 2
                        : c == 0xF0 || c == U'\u00F3' ? 3
                                                      : 0;
    if (tail == 0 || at + tail >= text.size()) return at;
    for (size_t i = 1; i <= tail; ++i) {
      if (!looks_like_continuation(text[at + i])) return at;
    }
    at += tail + 1;
  }
  return at;
}

std::u32string fix_parts(std::u32string_view text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const bool may_begin = at == 0 || !is_strict_continuation(text[at - 1]);
    const size_t end = may_begin ? run_end(text, at) : at;
    if (end == at) {
      out.push_back(text[at++]);
      continue;
    }
    const std::u32string_view part = text.substr(at, end - at);
    // Shorter than the whole, so this comes to an end.
    out += part.size() < text.size() && is_bad(part) ? fix_encoding(part) : std::u32string(part);
    at = end;
  }
  return out;
}

std::u32string fix_once(std::u32string_view text) {
  if (!is_bad(text)) return std::u32string(text);
  const auto latin1 = as_latin1(text);
  if (latin1) {
    if (auto fixed = read_again(*latin1, false)) return *fixed;
  }
  if (const auto bytes = as_windows_1252(text)) {
    if (auto fixed = read_again(*bytes, true)) return *fixed;
  }
  std::u32string fixed = fix_parts(text);
  return fixed != text ? fixed : fix_c1_controls(text);
}

}  // namespace

char32_t windows_1252(unsigned char byte) {
  return byte >= 0x80 && byte < 0xA0 ? kHigh[byte - 0x80] : byte;
}

bool is_bad(std::u32string_view text) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (bad_at(text, at)) return true;
  }
  return false;
}

std::u32string fix_encoding(std::u32string_view text) {
  std::u32string now(text);
  for (int round = 0; round < kMaxRounds; ++round) {
    std::u32string next = fix_once(now);
    if (next == now) break;
    now = std::move(next);
  }
  return now;
}

std::u32string fix_c1_controls(std::u32string_view text) {
  std::u32string out(text);
  for (char32_t& c : out) {
    if (c >= 0x80 && c < 0xA0) c = windows_1252(static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace pangu::text
