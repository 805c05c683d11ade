"""The bytes of MindSpore's checkpoints, in the words of protobuf, for whoever writes such files. It holds no tensors.

  Checkpoint  { repeated Value value = 1 }
  Value       { string tag = 1; TensorProto tensor = 2 }
  TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }
Dims are unpacked varints; a scalar has the dims [0]. Only Float32 occurs in the released files.
"""

VARINT, BYTES = 0, 2


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def head(number, length):
    """Of a field of so many bytes."""
    return varint(number << 3 | BYTES) + varint(length)


def value_head(name, shape, content_bytes):
    """All of a Value of f32 but its numbers, which follow."""
    dims = b"".join(varint(1 << 3 | VARINT) + varint(side) for side in shape or [0])
    tensor = dims + head(2, 7) + b"Float32" + head(3, content_bytes)
    tag = head(1, len(name.encode())) + name.encode()
    inner = head(2, len(tensor) + content_bytes)
    return head(1, len(tag) + len(inner) + len(tensor) + content_bytes) + tag + inner + tensor
