#include "image/exif_text.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/utf8.h"
#include "image/tiff.h"

namespace pangu::image {
namespace {

constexpr const char* kParameters = "parameters";
constexpr uint16_t kMakerTag = 0x010F, kModelTag = 0x0110, kExifPointerTag = 0x8769,
                   kMakerNoteTag = 0x927C, kUserCommentTag = 0x9286;
constexpr uint16_t kLongType = 4, kUndefinedType = 7;
constexpr size_t kMaxSegmentBytes = 0xFFFF;  // of a JPEG, the two bytes of its length included
constexpr std::string_view kUnicode("UNICODE\0", 8), kAscii("ASCII\0\0\0", 8),
    kUnsaid("\0\0\0\0\0\0\0\0", 8);
constexpr std::string_view kExifMark("Exif\0\0", 6);
constexpr std::string_view kOurs("pangu-draw\0", 11);
constexpr uint8_t kExifFlag = 0x08, kAlphaFlag = 0x10;  // of a WebP's VP8X

void add_number(Bytes& bytes, uint64_t value, size_t size, bool big_endian) {
  for (size_t i = 0; i < size; ++i) {
    bytes.push_back(static_cast<uint8_t>(value >> 8 * (big_endian ? size - 1 - i : i)));
  }
}

void add_text(Bytes& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}

std::string_view text_in(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// REQUIRES: is_utf8(text).
Bytes utf16_of(std::string_view text) {
  Bytes units;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<uint8_t>(text[i]);
    const size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    uint32_t code = size == 1 ? first : first & (0xFF >> (size + 1));
    for (size_t k = 1; k < size; ++k) code = code << 6 | (static_cast<uint8_t>(text[i + k]) & 0x3F);
    i += size;
    if (code >= 0x10000) {
      add_number(units, 0xD800 + ((code - 0x10000) >> 10), 2, true);
      code = 0xDC00 + (code & 0x3FF);
    }
    add_number(units, code, 2, true);
  }
  return units;
}

void add_utf8(std::string& text, uint32_t code) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    tail(12), tail(6), tail(0);
  }
}

// Lone surrogates become U+FFFD.
std::string utf8_of(std::span<const uint8_t> bytes, bool big_endian) {
  const auto unit = [&](size_t i) {
    return static_cast<uint32_t>(bytes[i + (big_endian ? 0 : 1)] << 8 |
                                 bytes[i + (big_endian ? 1 : 0)]);
  };
  std::string text;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    uint32_t code = unit(i);
    if (code == 0xFEFF) continue;
    if (code >= 0xD800 && code < 0xDC00 && i + 3 < bytes.size() && unit(i + 2) >= 0xDC00 &&
        unit(i + 2) < 0xE000) {
      code = 0x10000 + ((code - 0xD800) << 10) + (unit(i + 2) - 0xDC00);
      i += 2;
    } else if (code >= 0xD800 && code < 0xE000) {
      code = 0xFFFD;
    }
    add_utf8(text, code);
  }
  return text;
}

// The standard leaves the order of UTF-16 to the file's byte order, which many writers ignore:
// zeros, of which Latin text has many, tell.
bool is_big_endian(std::span<const uint8_t> utf16) {
  if (utf16.size() >= 2 && utf16[0] == 0xFF && utf16[1] == 0xFE) return false;
  size_t even = 0, odd = 0;
  for (size_t i = 0; i + 1 < utf16.size(); i += 2) {
    even += utf16[i] == 0;
    odd += utf16[i + 1] == 0;
  }
  return even >= odd;
}

std::string text_of_comment(std::span<const uint8_t> comment) {
  if (comment.size() < kUnicode.size()) return "";
  const auto body = comment.subspan(kUnicode.size());
  const std::string_view code = text_in(comment.first(kUnicode.size()));
  if (code == kUnicode) return utf8_of(body, is_big_endian(body));
  if (code != kAscii && code != kUnsaid) return "";
  const std::string_view text = text_in(body);
  return is_utf8(text) ? std::string(text.substr(0, text.find('\0'))) : "";
}

// "pangu-draw\0", then key, 0, text, 0 and so on; PNG keywords and our texts hold no zero.
Bytes note_of(const TextChunks& text) {
  Bytes note;
  for (const auto& [key, value] : text) {
    if (key == kParameters || value.empty()) continue;
    if (note.empty()) add_text(note, kOurs);
    add_text(note, key + '\0' + value + '\0');
  }
  return note;
}

void read_note(std::string_view note, TextChunks& text) {
  if (!note.starts_with(kOurs) || !note.ends_with('\0')) return;
  note.remove_prefix(kOurs.size());
  const auto next = [&] {
    const size_t end = std::min(note.find('\0'), note.size());
    const std::string word(note.substr(0, end));
    note.remove_prefix(std::min(end + 1, note.size()));
    return word;
  };
  while (!note.empty()) {
    const std::string key = next(), value = next();
    if (is_utf8(key) && is_utf8(value)) text[key] = value;
  }
}

// "prompt:{...}" and "workflow:{...}", the key in front of the text.
void read_comfy(std::string_view tag, TextChunks& text) {
  tag = tag.substr(0, tag.find('\0'));
  for (const std::string_view key : {"prompt", "workflow"}) {
    if (tag.starts_with(key) && tag.substr(key.size()).starts_with(":{") && is_utf8(tag)) {
      text[std::string(key)] = tag.substr(key.size() + 1);
    }
  }
}

uint32_t little_endian(std::span<const uint8_t> bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i > 0; --i) value = value << 8 | bytes[at + i - 1];
  return value;
}

// Calls take(name, whole chunk with its header, body) for every chunk of a WebP.
template <class Take>
void webp_chunks(std::span<const uint8_t> webp, const Take& take) {
  size_t at = 12;
  while (webp.size() >= at && webp.size() - at >= 8) {
    const size_t size = little_endian(webp, at + 4, 4);
    if (webp.size() - at - 8 < size) return;
    const size_t padded = std::min(size + size % 2, webp.size() - at - 8);
    take(text_in(webp.subspan(at, 4)), webp.subspan(at, 8 + padded), webp.subspan(at + 8, size));
    at += 8 + padded;
  }
}

void add_chunk(Bytes& webp, std::string_view name, std::span<const uint8_t> body) {
  add_text(webp, name);
  add_number(webp, body.size(), 4, false);
  webp.insert(webp.end(), body.begin(), body.end());
  if (body.size() % 2) webp.push_back(0);
}

}  // namespace

Bytes exif_of_text(const TextChunks& text) {
  struct Entry {
    uint16_t tag;
    Bytes body;
  };
  std::vector<Entry> entries;  // in the order of their tags
  if (Bytes note = note_of(text); !note.empty()) entries.push_back({kMakerNoteTag, note});
  const auto parameters = text.find(kParameters);
  if (parameters != text.end() && !parameters->second.empty() && is_utf8(parameters->second)) {
    Bytes comment;
    add_text(comment, kUnicode);
    const Bytes units = utf16_of(parameters->second);
    comment.insert(comment.end(), units.begin(), units.end());
    entries.push_back({kUserCommentTag, comment});
  }
  if (entries.empty()) return {};

  constexpr size_t kFirst = 8, kEntryBytes = 12, kExif = kFirst + 2 + kEntryBytes + 4;
  Bytes tiff;
  add_text(tiff, "MM");
  add_number(tiff, 42, 2, true);
  add_number(tiff, kFirst, 4, true);
  const auto add_entry = [&](uint16_t tag, uint16_t type, size_t count, size_t value) {
    add_number(tiff, tag, 2, true);
    add_number(tiff, type, 2, true);
    add_number(tiff, count, 4, true);
    add_number(tiff, value, 4, true);
  };
  add_number(tiff, 1, 2, true);
  add_entry(kExifPointerTag, kLongType, 1, kExif);
  add_number(tiff, 0, 4, true);  // no further directory
  add_number(tiff, entries.size(), 2, true);
  size_t at = kExif + 2 + kEntryBytes * entries.size() + 4;
  for (const Entry& entry : entries) {
    add_entry(entry.tag, kUndefinedType, entry.body.size(), at);
    at += entry.body.size() + entry.body.size() % 2;
  }
  add_number(tiff, 0, 4, true);
  for (const Entry& entry : entries) {
    tiff.insert(tiff.end(), entry.body.begin(), entry.body.end());
    if (entry.body.size() % 2) tiff.push_back(0);
  }
  return tiff;
}

TextChunks text_of_exif(std::span<const uint8_t> bytes) {
  TextChunks text;
  if (bytes.size() < 8 || (bytes[0] != 'M' && bytes[0] != 'I')) return text;
  const TiffReader tiff(bytes);
  size_t exif = 0;
  tiff.entries(tiff.directory(), [&](uint16_t tag, size_t entry) {
    if (tag == kExifPointerTag) exif = tiff.number(entry + 8, 4);
    if (tag == kMakerTag || tag == kModelTag) read_comfy(text_in(tiff.body(entry)), text);
  });
  if (exif == 0) return text;
  tiff.entries(exif, [&](uint16_t tag, size_t entry) {
    if (tag == kMakerNoteTag) read_note(text_in(tiff.body(entry)), text);
    if (tag != kUserCommentTag) return;
    const std::string comment = text_of_comment(tiff.body(entry));
    if (!comment.empty()) text[kParameters] = comment;
  });
  return text;
}

Bytes jpeg_with_exif(const Bytes& jpeg, const Bytes& tiff) {
  if (tiff.empty()) return jpeg;
  const size_t length = 2 + kExifMark.size() + tiff.size();
  if (length > kMaxSegmentBytes) {
    throw bad_input("JPEG, the request as text", "at most 64 kB", std::to_string(tiff.size()),
                    "a .png or .webp holds more");
  }
  Bytes out(jpeg.begin(), jpeg.begin() + 2);
  add_number(out, 0xFFE1, 2, true);
  add_number(out, length, 2, true);
  add_text(out, kExifMark);
  out.insert(out.end(), tiff.begin(), tiff.end());
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

Bytes webp_with_exif(const Bytes& webp, const Bytes& tiff, int width, int height) {
  if (tiff.empty()) return webp;
  Bytes chunks;
  uint8_t flags = kExifFlag;
  webp_chunks(webp, [&](std::string_view name, std::span<const uint8_t> whole,
                        std::span<const uint8_t> body) {
    if (name == "VP8X") {
      if (!body.empty()) flags |= body[0];
      return;
    }
    // A lossless picture says itself whether its alpha is used (bit 28 of its header).
    if (name == "VP8L" && body.size() > 4 && (body[4] & 0x10)) flags |= kAlphaFlag;
    chunks.insert(chunks.end(), whole.begin(), whole.end());
  });
  Bytes extended{flags, 0, 0, 0};
  add_number(extended, static_cast<uint64_t>(width) - 1, 3, false);
  add_number(extended, static_cast<uint64_t>(height) - 1, 3, false);
  Bytes inside;
  add_text(inside, "WEBP");
  add_chunk(inside, "VP8X", extended);
  inside.insert(inside.end(), chunks.begin(), chunks.end());
  add_chunk(inside, "EXIF", tiff);
  Bytes out;
  add_chunk(out, "RIFF", inside);
  return out;
}

std::span<const uint8_t> exif_of_jpeg(std::span<const uint8_t> jpeg) {
  size_t at = 2;
  while (at + 4 <= jpeg.size() && jpeg[at] == 0xFF) {
    const uint8_t marker = jpeg[at + 1];
    const size_t length = size_t{jpeg[at + 2]} << 8 | jpeg[at + 3];
    if (marker == 0xDA || length < 2 || at + 2 + length > jpeg.size()) return {};
    const auto body = jpeg.subspan(at + 4, length - 2);
    if (marker == 0xE1 && text_in(body).starts_with(kExifMark))
      return body.subspan(kExifMark.size());
    at += 2 + length;
  }
  return {};
}

std::span<const uint8_t> exif_of_webp(std::span<const uint8_t> webp) {
  std::span<const uint8_t> found;
  webp_chunks(webp, [&](std::string_view name, auto, std::span<const uint8_t> body) {
    if (name != "EXIF" || !found.empty()) return;
    // Some writers keep the mark of a JPEG's segment.
    found = text_in(body).starts_with(kExifMark) ? body.subspan(kExifMark.size()) : body;
  });
  return found;
}

}  // namespace pangu::image
