// UTF-8 by the table of well-formed byte sequences (Unicode 15, table 3-7); the normal forms are
// utf8proc's.
#include "text/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace pangu::text {
namespace {

struct Lead {
  int length;                // bytes of the sequence, 0 if the byte cannot begin one
  unsigned char low = 0x80;  // range of the second byte; later ones are 80..BF
  unsigned char high = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

std::u32string normal_form(std::u32string_view code_points, int kind, bool compose) {
  const auto decompose =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | kind);
  const std::string bytes = encode_utf8(code_points);
  const auto* source = reinterpret_cast<const utf8proc_uint8_t*>(bytes.data());
  const auto size = static_cast<utf8proc_ssize_t>(bytes.size());
  // A first call with no room counts; the second also puts combining marks in canonical order.
  utf8proc_ssize_t count = utf8proc_decompose(source, size, nullptr, 0, decompose);
  std::vector<utf8proc_int32_t> buffer(static_cast<size_t>(count < 0 ? 0 : count) + 1);
  if (count >= 0) count = utf8proc_decompose(source, size, buffer.data(), count, decompose);
  const auto recompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (count >= 0 && compose) count = utf8proc_normalize_utf32(buffer.data(), count, recompose);
  if (count < 0) {
    throw Error(ErrorCode::kInternal, std::string("normal form: ") + utf8proc_errmsg(count));
  }
  return {buffer.begin(), buffer.begin() + count};
}

}  // namespace

std::u32string decode_utf8(std::string_view bytes) {
  std::u32string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const auto first = static_cast<unsigned char>(bytes[at++]);
    const Lead lead = lead_of(first);
    if (lead.length <= 1) {
      out.push_back(lead.length == 1 ? first : kReplacement);
      continue;
    }
    char32_t value = first & (0xFF >> (lead.length + 1));
    int taken = 1;
    for (; taken < lead.length && at < bytes.size(); ++taken, ++at) {
      const auto next = static_cast<unsigned char>(bytes[at]);
      if (next < (taken == 1 ? lead.low : 0x80) || next > (taken == 1 ? lead.high : 0xBF)) break;
      value = value << 6 | (next & 0x3F);
    }
    out.push_back(taken == lead.length ? value : kReplacement);
  }
  return out;
}

std::string encode_utf8(std::u32string_view code_points) {
  std::string out;
  out.reserve(code_points.size() * 3);
  for (const char32_t code_point : code_points) {
    utf8proc_uint8_t buffer[4];
    const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), buffer);
    out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(length));
  }
  return out;
}

std::u32string to_nfkc(std::u32string_view code_points) {
  return normal_form(code_points, UTF8PROC_COMPAT, true);
}

std::u32string to_nfc(std::u32string_view code_points) {
  // Below the first combining mark every text is in NFC already.
  if (std::all_of(code_points.begin(), code_points.end(), [](char32_t c) { return c < 0x300; })) {
    return std::u32string(code_points);
  }
  return normal_form(code_points, 0, true);
}

std::u32string to_nfd(std::u32string_view code_points) {
  return normal_form(code_points, 0, false);
}

}  // namespace pangu::text
