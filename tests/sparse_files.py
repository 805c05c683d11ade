"""Weight files of the released sizes that hold no numbers: headers, and holes in the file where tensors would be."""

import json
import math
import pathlib
import struct
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
from mindspore_wire import value_head  # noqa: E402

TABLE = pathlib.Path(__file__).resolve().parent / "parity/data/pangu_draw_3_tensors.tsv"


def released_tensors():
    """Names and shapes of a released PanGu-Draw 3 file, in MindSpore's words."""
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        name, _, shape = line.partition("\t")
        yield name, [int(side) for side in shape.split(",")]


def write_safetensors(path):
    """A released file in f16."""
    header, at = {}, 0
    for name, shape in released_tensors():
        name = name.replace(".gamma", ".weight").replace(".beta", ".bias")
        name = name.replace(".embedding_table", ".weight")
        shape = [] if shape == [0] else shape
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(out.tell() + at)


def write_mindspore(path, tensors):
    """`tensors`: (name, shape) pairs, f32."""
    with open(path, "wb") as out:
        for name, shape in tensors:
            size = 4 * (1 if shape == [0] else math.prod(shape))
            out.write(value_head(name, shape, size))
            out.seek(size, 1)
        out.truncate(out.tell())
