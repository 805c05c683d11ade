"""PNG files of 8 bits without a library, for scripts that any Python runs."""

import pathlib
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # of grey, RGB, RGBA


def png_of(width, height, pixels):
    """The file's bytes; `pixels`: 1, 3 or 4 bytes each, row after row."""
    channels = len(pixels) // (width * height)
    stride = channels * width
    assert len(pixels) == stride * height, (width, height, len(pixels))
    rows = b"".join(b"\0" + pixels[stride * y:stride * (y + 1)] for y in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_painted(width, height, colour_at):
    """The same of what colour_at(x, y) gives: 1, 3 or 4 bytes."""
    return png_of(width, height, b"".join(bytes(colour_at(x, y)) for y in range(height) for x in range(width)))


def png_chunks(path):
    """(kind, body) of every chunk."""
    data, at = pathlib.Path(path).read_bytes(), len(SIGNATURE)
    assert data.startswith(SIGNATURE), path
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        yield kind, data[at + 8:at + 8 + size]
        at += 12 + size


def png_size(path):
    return struct.unpack(">II", pathlib.Path(path).read_bytes()[16:24])


def png_pixels(path):
    """Width, height and the unpacked (still filtered) rows: equal for equal pictures of this program."""
    return png_size(path), zlib.decompress(b"".join(body for kind, body in png_chunks(path) if kind == b"IDAT"))


def png_rows(path):
    """(width, height, rows of bytes) of an RGB PNG, the filters undone."""
    depth, colour = next(body for kind, body in png_chunks(path) if kind == b"IHDR")[8:10]
    assert (depth, colour) == (8, COLOUR_TYPES[3]), (depth, colour)
    (width, height), raw = png_pixels(path)
    stride, above, rows = 3 * width, bytes(3 * width), []
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            left, up, corner = (row[i - 3], above[i], above[i - 3]) if i > 2 else (0, above[i], 0)
            near = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, near)[kind]) % 256
        above = bytes(row)
        rows.append(above)
    return width, height, rows
