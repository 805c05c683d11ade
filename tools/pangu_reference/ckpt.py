"""Reads and writes MindSpore's checkpoint file byte by byte, without a protobuf library (mindspore_wire.py has the format)."""

import mmap

import numpy as np
import torch
from mindspore_wire import BYTES, VARINT, value_head


def varint_at(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data, at, end):
    """Yields (number, value): a number, or the (begin, end) of bytes."""
    while at < end:
        key, at = varint_at(data, at)
        value, at = varint_at(data, at)
        if key & 7 == BYTES:
            value, at = (at, at + value), at + value
        elif key & 7 != VARINT:
            raise ValueError(f"wire type {key & 7} at byte {at}")
        yield key >> 3, value
    if at != end:
        raise ValueError(f"a message runs to byte {at}, beyond {end}")


def tensor_in(data, begin, end):
    dims, content = [], (begin, begin)
    for number, value in fields(data, begin, end):
        if number == 1:
            dims.append(value)
        elif number == 2 and bytes(data[slice(*value)]) != b"Float32":
            raise ValueError(f"tensor type {bytes(data[slice(*value)])}")
        elif number == 3:
            content = value
    count = (content[1] - content[0]) // 4
    numbers = np.frombuffer(data, dtype="<f4", count=count, offset=content[0])
    return torch.from_numpy(numbers).reshape([] if dims in ([], [0]) else dims)


def read_ckpt(path):
    """Returns name -> f32 tensor under the file's own names; the tensors are views of the mapped
    file."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensors = {}
    for number, value in fields(data, 0, len(data)):
        if number != 1:
            raise ValueError(f"{path}: field {number} of Checkpoint")
        tag, tensor = None, None
        for inner, span in fields(data, *value):
            if inner == 1:
                tag = bytes(data[slice(*span)]).decode()
            elif inner == 2:
                tensor = tensor_in(data, *span)
        tensors[tag] = tensor
    return tensors


def write_ckpt(path, tensors):
    """`tensors`: (name, f32 tensor) pairs, made one after the other if it is a generator."""
    with open(path, "wb") as out:
        for name, tensor in tensors:
            content = tensor.detach().contiguous().numpy().astype("<f4", copy=False)
            out.write(value_head(name, list(tensor.shape), content.nbytes))
            out.write(content.data if content.ndim else content.tobytes())
