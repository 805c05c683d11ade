"""The operations of one forward, from the shapes of a network's tensors: src/nn/unet/cost.h in Python, which the smoke
test compares with the program's own count. Norms, activations and resampling are left out; they are a few percent.
"""
import json
import math
import re
import struct


def shapes_of_file(path):
    """Returns {name: shape} of a .safetensors file, from its header."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    return {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}


def block_of(name, kind):
    found = re.match(rf"{kind}\.(\d+)", name)
    return int(found[1]) if found else -1


def level_of(name, levels):
    """Returns how often the grid of this tensor's layer has been halved, of `levels` grids."""
    down, up = block_of(name, "down_blocks"), block_of(name, "up_blocks")
    if down >= 0:
        return down + ("downsamplers" in name)
    if up >= 0:
        return levels - 1 - up - ("upsamplers" in name)
    return levels - 1 if name.startswith("mid_block") else 0


def gflop_of(shapes, height, width, blocks, context):
    levels = max(block_of(name, blocks) for name in shapes) + 1
    flop = 0
    for name, shape in shapes.items():
        if not name.endswith("weight") or len(shape) < 2:
            continue
        positions = max(1, height * width / 4**level_of(name, levels))
        once = any(part in name for part in ("time_emb", "add_embedding", "class_embedding"))
        of_context = "attn2.to_k" in name or "attn2.to_v" in name
        flop += 2 * math.prod(shape) * (1 if once else context if of_context else positions)
        if "to_q." in name:
            # The scores and the weighted sum are two products of every query with every key.
            flop += 4 * shape[0] * positions * (context if "attn2" in name else positions)
    return flop * 1e-9


def unet_gflop(shapes, height, width, context=77):
    """Of one row, on latents of height x width."""
    return gflop_of(shapes, height, width, "down_blocks", context)


def decoder_gflop(shapes, height, width):
    """Of an autoencoder's decoder for one picture of height x width pixels."""
    part = {name.removeprefix("decoder."): shape for name, shape in shapes.items() if name.startswith("decoder.")}
    return gflop_of(part, height, width, "up_blocks", 0)
