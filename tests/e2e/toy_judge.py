"""What a study judges pictures by, small enough for a test: a dataset of coloured bars, and weights of the feature
extractor out of a random generator.
"""

import json
import math
import random
import struct

from png_file import png_painted
from safetensors_file import safetensors_of


def png(colour, side=64):
    return png_painted(side, side, lambda x, y: colour if side // 4 < x < side // 2 else (255, 255, 255))


def inception_shapes():
    """[out, in, height, width] of every convolution, in Keras' order."""
    shapes = []

    def conv(channels, out, height=1, width=1):
        shapes.append([out, channels, height, width])
        return out

    def chain(channels, *steps):
        for step in steps:
            channels = conv(channels, *step)
        return channels

    x = chain(3, (32, 3, 3), (32, 3, 3), (64, 3, 3), (80,), (192, 3, 3))
    for pool in (32, 64, 64):
        x = (chain(x, (64,)) + chain(x, (48,), (64, 5, 5)) + chain(x, (64,), (96, 3, 3), (96, 3, 3)) +
             chain(x, (pool,)))
    x = chain(x, (384, 3, 3)) + chain(x, (64,), (96, 3, 3), (96, 3, 3)) + x
    for n in (128, 160, 160, 192):
        x = (chain(x, (192,)) + chain(x, (n,), (n, 1, 7), (192, 7, 1)) +
             chain(x, (n,), (n, 7, 1), (n, 1, 7), (n, 7, 1), (192, 1, 7)) + chain(x, (192,)))
    x = chain(x, (192,), (320, 3, 3)) + chain(x, (192,), (192, 1, 7), (192, 7, 1), (192, 3, 3)) + x
    for _ in range(2):
        a, b = chain(x, (320,)), chain(x, (384,))
        b = chain(b, (384, 1, 3)) + chain(b, (384, 3, 1))
        c = chain(x, (448,), (384, 3, 3))
        c = chain(c, (384, 1, 3)) + chain(c, (384, 3, 1))
        x = a + b + c + chain(x, (192,))
    return shapes


def write_inception(path):
    """8-bit weights as tools/export_inception.py writes them, drawn with He's spread."""
    numbers, tensors = random.Random(1), {}

    def add(name, shape, low, high):
        tensors[f"{name}_u8"] = ("U8", shape, numbers.randbytes(math.prod(shape)))
        tensors[f"{name}_range"] = ("F32", [2], struct.pack("<2f", (high - low) / 255, low))

    for i, shape in enumerate(inception_shapes(), 1):
        reach = math.sqrt(6 / math.prod(shape[1:]))
        add(f"conv2d_{i}.weight", shape, -reach, reach)
        for name, low, high in (("beta", 0, 0.1), ("mean", 0, 0.1), ("variance", 0.9, 1.1)):
            add(f"batch_normalization_{i}.{name}", shape[:1], low, high)
    path.write_bytes(safetensors_of(tensors))


def write_bars(folder):
    """Three concepts in two styles, of which one pair is held out."""
    folder.mkdir()
    lines = []
    for i, (name, colour) in enumerate({"red": (220, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 220)}.items()):
        for style in ("flat", "3d"):
            file = f"{name}_{style}.png"
            (folder / file).write_bytes(png(colour))
            lines.append(json.dumps({
                "file": file, "concept": name, "concept_id": name, "style": style, "width": 64, "height": 64,
                "split": "heldout_pair" if i == 2 and style == "3d" else "train",
                "captions": {"en": [f"a {name} bar, {style}"], "zh": [f"{name} 条，{style}"]}}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
