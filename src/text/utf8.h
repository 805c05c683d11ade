// Bytes of unknown quality -> Unicode code points and back, and the normal forms (utf8proc).
// Knows no tokens. Ill-formed UTF-8 never throws: each maximal ill-formed part becomes U+FFFD
// (Unicode 15, section 3.9, "U+FFFD substitution of maximal subparts").
#pragma once
#include <string>
#include <string_view>

namespace pangu::text {

inline constexpr char32_t kReplacement = 0xFFFD;

// Code points of `bytes`; overlong forms, surrogates and values above U+10FFFF are ill-formed.
std::u32string decode_utf8(std::string_view bytes);

// REQUIRES: every code point is a Unicode scalar value (as decode_utf8 gives).
std::string encode_utf8(std::u32string_view code_points);

// Compatibility decomposition followed by canonical composition (Unicode annex 15).
std::u32string to_nfkc(std::u32string_view code_points);

// Canonical decomposition, followed by canonical composition in to_nfc (Unicode annex 15).
std::u32string to_nfc(std::u32string_view code_points);
std::u32string to_nfd(std::u32string_view code_points);

}  // namespace pangu::text
