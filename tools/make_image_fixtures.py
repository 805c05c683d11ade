#!/usr/bin/env python3
"""Writes the reference pictures of src/image's tests with Pillow: small files of every kind into
tests/fuzz/corpus/image, and resized goldens as hex text into src/image/resize_goldens.h.
Run it from the repository's root; its outputs are committed, the tests need no Python."""
import io
import pathlib

from PIL import Image

FILTERS = {"kNearest": Image.Resampling.NEAREST, "kBox": Image.Resampling.BOX,
           "kBilinear": Image.Resampling.BILINEAR, "kBicubic": Image.Resampling.BICUBIC,
           "kLanczos3": Image.Resampling.LANCZOS}
SIZES = [(5, 4), (20, 14), (13, 3), (7, 9)]


def pattern(mode):
    """13x9 pixels of hard noise, by the same formula as in the test."""
    image = Image.new(mode, (13, 9))
    channels = len(mode)
    image.putdata([tuple((x * 37 + y * 91 + c * 53 + x * y * 7) % 256 for c in range(channels))
                   for y in range(9) for x in range(13)])
    return image


def goldens():
    rows = []
    for mode in ("RGB", "RGBA"):
        for name, kind in FILTERS.items():
            for size in SIZES:
                data = pattern(mode).resize(size, kind).tobytes().hex()
                lines = [data[i:i + 90] for i in range(0, len(data), 90)]
                text = "\n     ".join(f'"{line}"' for line in lines)
                rows.append(f"    {{{len(mode)}, Filter::{name}, {size[0]}, {size[1]},\n     {text}}},")
    return """// Pictures resized by Pillow %s, written by tools/make_image_fixtures.py: the judge of
// resize().
#pragma once
#include "image/resize.h"

namespace pangu::image {

struct ResizeGolden {
  int channels;
  Filter filter;
  int width, height;
  const char* hex;
};

// clang-format off
inline constexpr ResizeGolden kResizeGoldens[] = {
%s
};
// clang-format on

}  // namespace pangu::image
""" % (__import__("PIL").__version__, "\n".join(rows))


def smooth(mode="RGB", size=(16, 12)):
    """A gradient that lossy formats keep: red grows to the right, green downwards, blue is 64."""
    image = Image.new("RGB", size)
    image.putdata([(x * 16, y * 20, 64) for y in range(size[1]) for x in range(size[0])])
    return image.convert(mode)


def pictures():
    rgba = smooth("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize((16, 12)))
    palette = smooth().quantize(16)
    grey16 = Image.new("I;16", (16, 12))
    grey16.putdata([x * 4096 + 255 for y in range(12) for x in range(16)])
    rotated = Image.Exif()
    rotated[0x0112] = 6
    anim = [smooth(), smooth().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    yield "rgb.png", smooth(), {}
    yield "rgba.png", rgba, {}
    yield "grey.png", smooth("L"), {}
    yield "grey_alpha.png", smooth("LA"), {}
    yield "grey16.png", grey16, {}
    yield "one_bit.png", smooth("1"), {}
    yield "palette.png", palette, {}
    yield "palette_transparent.png", palette, {"transparency": 3}
    yield "baseline.jpg", smooth(), {"quality": 95, "subsampling": 0}
    yield "progressive.jpg", smooth(), {"quality": 95, "progressive": True, "subsampling": 0}
    yield "grey.jpg", smooth("L"), {"quality": 95}
    yield "cmyk.jpg", smooth("CMYK"), {"quality": 95}
    yield "rotated.jpg", smooth(), {"quality": 95, "exif": rotated, "subsampling": 0}
    yield "lossy.webp", smooth(), {"quality": 90}
    yield "lossless.webp", rgba, {"lossless": True, "exact": True}
    yield "animated.webp", anim[0], {"save_all": True, "append_images": anim[1:]}
    yield "rotated.png", smooth(), {"exif": rotated}
    yield "rotated.webp", smooth(), {"exif": rotated, "lossless": True}


def exif_behind_pixels(png):
    """The same file with its chunk eXIf moved to where the PNG standard also allows it."""
    at = png.index(b"eXIf") - 4
    size = 12 + int.from_bytes(png[at:at + 4], "big")
    end = len(png) - 12  # IEND
    return png[:at] + png[at + size:end] + png[at:at + size] + png[end:]


def exif_marked(webp):
    """The same file with the mark of a JPEG in front of its EXIF block, as some programs write it."""
    at = webp.index(b"EXIF")
    size = int.from_bytes(webp[at + 4:at + 8], "little") + 6
    marked = webp[:at + 4] + size.to_bytes(4, "little") + b"Exif\0\0" + webp[at + 8:]
    return marked[:4] + (len(marked) - 8).to_bytes(4, "little") + marked[8:]


def main():
    folder = pathlib.Path("tests/fuzz/corpus/image")
    folder.mkdir(parents=True, exist_ok=True)
    for name, image, options in pictures():
        stream = io.BytesIO()
        kind = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[name.rsplit(".", 1)[1]]
        image.save(stream, kind, **options)
        (folder / name).write_bytes(stream.getvalue())
        if name == "rotated.png":
            (folder / "rotated_behind.png").write_bytes(exif_behind_pixels(stream.getvalue()))
        if name == "rotated.webp":
            (folder / "rotated_marked.webp").write_bytes(exif_marked(stream.getvalue()))
    pathlib.Path("src/image/resize_goldens.h").write_text(goldens())


if __name__ == "__main__":
    main()
