"""Files of safetensors without a library, for scripts that any Python runs."""

import json
import pathlib
import struct


def safetensors_of(tensors):
    """The file's bytes; `tensors`: {name: (type, such as "F32"; shape; bytes)}."""
    header, at = {}, 0
    for name, (kind, shape, body) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + len(body)]}
        at += len(body)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(body for _, _, body in tensors.values())


def safetensors_parts(path):
    """The header, and where the tensors' bytes begin in the file."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), 8 + size


def safetensors_bytes(path, name):
    """A tensor's entry of the header, and its bytes."""
    header, start = safetensors_parts(path)
    begin, end = header[name]["data_offsets"]
    return header[name], pathlib.Path(path).read_bytes()[start + begin:start + end]
