"""Makes random files with PanGu-Draw 3's names: the released list of names with narrower shapes.

The topology is the released one: three levels, attention in the lower two, heads of 64, the vector y
in label_emb. Deep transformers and towers are cut short. Norms are not the identity, the prompt has more influence
than in a fresh network, and the inputs of norms are small, as in trained text towers, so that a mistake in any of
them, even in the epsilon of a norm, is noticed.
"""

import re

import torch

UNET = {320: 32, 640: 64, 960: 96, 1280: 128, 1920: 192, 2560: 256, 5120: 512, 10240: 1024,
        1536: 192 + 256, 2048: 128 + 192}
CHINESE = {768: 128, 3072: 512}
WESTERN = {1280: 192, 3840: 576, 5120: 768}
AUTOENCODER = {128: 32, 256: 64, 512: 96}
NARROW = {"model.": UNET, "conditioner.embedders.0.": CHINESE, "conditioner.embedders.1.": WESTERN,
          "first_stage_model.": AUTOENCODER}
SMALL = 0.03
# What begins a residual stream or adds to it, from numbers of about 1; and what carries it on.
ADDS = re.compile(r"(input_blocks\.0\.0|out_layers\.3|proj_in|to_out\.0|proj_out|embedding|"
                  r"attn\.out_proj|mlp\.(fc2|c_proj)|conv_in|conv2)")
CARRIES = re.compile(r"(skip_connection|op|conv|nin_shortcut)\.bias$")
KEPT = 3  # blocks of a transformer, layers of a text tower


def released(path):
    """Returns the (name, shape) rows of the list in tests/parity/data."""
    with open(path, encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return [(name, [int(n) for n in shape.split(",")]) for name, shape in rows]


def narrowed(rows, blocks=KEPT):
    """blocks: so many of a transformer of the UNet are kept."""
    kept = []
    for name, shape in rows:
        deep = re.search(r"(transformer_blocks|encoder\.layers|resblocks)\.(\d+)\.", name)
        if deep and int(deep[2]) >= (blocks if deep[1] == "transformer_blocks" else KEPT):
            continue
        widths = next(table for prefix, table in NARROW.items() if name.startswith(prefix))
        if name.endswith("time_embed.0.weight"):
            shape = [1280, 320]
        kept.append((name, [widths.get(n, n) for n in shape]))
    return kept


def value(name, shape, generator, rounded=False):
    if shape == [0]:
        return torch.tensor(4.6052)
    if name.endswith(".gamma"):
        made = 1 + 0.2 * torch.randn(shape, generator=generator)
    elif name.endswith(("beta", "bias")):
        made = 0.1 * torch.randn(shape, generator=generator)
    elif "embedding" in name:
        made = torch.randn(shape, generator=generator)
    else:
        fan_in = torch.Size(shape[1:]).numel()
        made = torch.randn(shape, generator=generator).mul_(fan_in ** -0.5)
        if re.search(r"attn2\.to_(v|out\.0)\.weight$", name):
            made *= 3
    if not name.endswith(".gamma") and (ADDS.search(name) or CARRIES.search(name)):
        made *= SMALL
    return made.bfloat16().float() if rounded else made


def tensors(rows, seed, rounded=False):
    """Yields (name, tensor) pairs; rounded: whether numbers are rounded to those that bf16 holds."""
    generator = torch.Generator().manual_seed(seed)
    for name, shape in rows:
        yield name, value(name, shape, generator, rounded)
