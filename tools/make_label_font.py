#!/usr/bin/env python3
"""Writes src/image/label_font.h: the printable ASCII characters of Aileron Regular (Sora Sagano, CC0), which Pillow
brings along, as grey pictures. Run it from the repository's root; its output is committed."""
import pathlib

from PIL import Image, ImageDraw, ImageFont

SIZE = 13
LEVELS = "0123456789abcdef"


def main():
    font = ImageFont.load_default(size=SIZE)
    assert font.getname()[0] == "Aileron", font.getname()
    ascent, descent = font.getmetrics()
    height = ascent + descent
    rows = []
    for code in range(32, 127):
        width = round(font.getlength(chr(code)))
        glyph = Image.new("L", (width, height))
        ImageDraw.Draw(glyph).text((0, 0), chr(code), 255, font)
        levels = "".join(LEVELS[value * 15 // 255] for value in glyph.tobytes())
        pieces = [levels[i:i + 84] for i in range(0, len(levels), 84)]
        rows.append(f"    {{{width}," + "\n     ".join(f'"{piece}"' for piece in pieces) + "},")
    text = f"""// Aileron Regular (Sora Sagano, CC0) in {SIZE} pixels, ' ' to '~', written by tools/make_label_font.py:
// a hexadecimal digit for each pixel, 0 paper and f ink.
#pragma once

namespace pangu::image {{

struct LabelGlyph {{
  int width;
  const char* levels;  // width * kGlyphHeight of them, rows from the top
}};

inline constexpr int kGlyphHeight = {height};
// clang-format off
inline constexpr LabelGlyph kLabelGlyphs[] = {{
""" + "\n".join(rows) + """
};
// clang-format on

}  // namespace pangu::image
"""
    pathlib.Path("src/image/label_font.h").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
