#include "image/label.h"

#include <iterator>
#include <utility>

#include "image/label_font.h"

namespace pangu::image {
namespace {

// A box, for what the font has not.
constexpr LabelGlyph kBox = {
    7,
    "000000000000000000000"
    "0fffff00f000f00f000f00f000f00f000f00f000f00f000f00f000f00f000f00fffff0"
    "000000000000000000000"};

// One for each character of UTF-8 text.
template <class Take>
void for_each_glyph(const std::string& text, const Take& take) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80) continue;  // inside of a character
    const size_t index = byte - size_t{' '};
    take(byte >= ' ' && index < std::size(kLabelGlyphs) ? kLabelGlyphs[index] : kBox);
  }
}

int level_of(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

}  // namespace

std::pair<int, int> label_size(const std::string& text, int scale) {
  int width = 0;
  for_each_glyph(text, [&](const LabelGlyph& glyph) { width += glyph.width; });
  return {width * scale, kGlyphHeight * scale};
}

void draw_label(Image& image, const std::string& text, int x, int y, int scale) {
  const auto ink = [&](int px, int py, int level) {
    if (level == 0 || px < 0 || py < 0 || px >= image.width || py >= image.height) return;
    uint8_t* pixel = image.at(px, py);
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<uint8_t>(pixel[c] * (15 - level) / 15);
  };
  for_each_glyph(text, [&](const LabelGlyph& glyph) {
    for (int row = 0; row < kGlyphHeight * scale; ++row) {
      for (int column = 0; column < glyph.width * scale; ++column) {
        const int at = row / scale * glyph.width + column / scale;
        ink(x + column, y + row, level_of(glyph.levels[at]));
      }
    }
    x += glyph.width * scale;
  });
}

}  // namespace pangu::image
