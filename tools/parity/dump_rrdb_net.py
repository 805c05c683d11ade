"""Dumps what RRDBNet computes in plain PyTorch, for tests/parity/rrdb_net_test.cpp.

  dump_rrdb_net.py OUT_DIR

The reference is written from the papers: ESRGAN (arXiv 1809.00219, section 3.1 and figure 4), and Real-ESRGAN
(arXiv 2107.10833, figure 4, which folds pixels into channels for factors 1 and 2). For every case:
OUT_DIR/NAME/{weights.safetensors, tensors.safetensors}, random weights of fixed seeds in one of the three spellings.
"""
import os
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def conv(weights, name, x):
    return F.conv2d(x, weights[name + ".weight"], weights[name + ".bias"], padding=1)


def lrelu(x):
    return torch.where(x > 0, x, 0.2 * x)


def dense(weights, name, x):
    seen = [x]
    for i in range(1, 5):
        seen.append(lrelu(conv(weights, f"{name}.conv{i}", torch.cat(seen, 1))))
    return x + 0.2 * conv(weights, f"{name}.conv5", torch.cat(seen, 1))


def rrdb_net(weights, x, blocks, doublings, folded):
    height, width = x.shape[2:]
    if folded > 1:
        x = F.pad(x, (0, -width % folded, 0, -height % folded), mode="replicate")
        b, c, h, w = x.shape
        x = x.view(b, c, h // folded, folded, w // folded, folded).permute(0, 1, 3, 5, 2, 4)
        x = x.reshape(b, c * folded * folded, h // folded, w // folded)
    start = conv(weights, "conv_first", x)
    y = start
    for i in range(blocks):
        inner = y
        for k in (1, 2, 3):
            inner = dense(weights, f"body.{i}.rdb{k}", inner)
        y = y + 0.2 * inner
    y = start + conv(weights, "conv_body", y)
    for i in range(doublings):
        y = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
        y = lrelu(conv(weights, f"conv_up{i + 1}", y))
    y = conv(weights, "conv_last", lrelu(conv(weights, "conv_hr", y)))
    factor = 2 ** doublings // folded
    return y[:, :, :height * factor, :width * factor]


def made_weights(features, growth, blocks, doublings, folded, generator):
    shapes = {"conv_first": (3 * folded * folded, features)}
    for i in range(blocks):
        for k in (1, 2, 3):
            for j in range(5):
                out = features if j == 4 else growth
                shapes[f"body.{i}.rdb{k}.conv{j + 1}"] = (features + j * growth, out)
    shapes["conv_body"] = (features, features)
    for i in range(doublings):
        shapes[f"conv_up{i + 1}"] = (features, features)
    shapes.update(conv_hr=(features, features), conv_last=(features, 3))
    weights = {}
    for name, (inputs, outputs) in shapes.items():
        scale = (9 * inputs) ** -0.5
        weights[name + ".weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * scale
        weights[name + ".bias"] = torch.randn(outputs, generator=generator) * 0.1
    return weights


def as_second_code(name):
    for own, other in (("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv"), ("body.", "RRDB_trunk."),
                       (".rdb", ".RDB")):
        name = name.replace(own, other)
    return name


def as_first_code(blocks, doublings):
    behind = [3 * (i + 1) for i in range(doublings)]
    wide = behind[-1] + 2 if behind else 2
    layers = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}", "conv_hr": f"model.{wide}",
              "conv_last": f"model.{wide + 2}"}
    layers.update({f"conv_up{i + 1}": f"model.{place}" for i, place in enumerate(behind)})

    def spelt(name):
        layer, leaf = name.rsplit(".", 1)
        if layer in layers:
            return f"{layers[layer]}.{leaf}"
        return "model.1.sub." + layer.removeprefix("body.").replace("rdb", "RDB") + f".0.{leaf}"
    return spelt


CASES = {
    "basicsr": dict(features=12, growth=6, blocks=2, doublings=2, folded=1),
    "twice": dict(features=8, growth=4, blocks=1, doublings=2, folded=2),
    "same_size": dict(features=8, growth=4, blocks=1, doublings=2, folded=4),
    "second_code": dict(features=8, growth=4, blocks=3, doublings=2, folded=1),
    "first_code": dict(features=8, growth=4, blocks=2, doublings=2, folded=1),
    "first_code_twice": dict(features=8, growth=4, blocks=1, doublings=1, folded=1),
}


def main():
    for seed, (name, config) in enumerate(CASES.items()):
        generator = torch.Generator().manual_seed(seed)
        weights = made_weights(generator=generator, **config)
        image = torch.rand(1, 3, 13, 18, generator=generator)
        depth = {key: config[key] for key in ("blocks", "doublings", "folded")}
        tensors = {"in/image": image, "out/image": rrdb_net(weights, image, **depth)}
        spelt = str
        if name == "second_code":
            spelt = as_second_code
        if name.startswith("first_code"):
            spelt = as_first_code(config["blocks"], config["doublings"])
        folder = os.path.join(sys.argv[1], name)
        os.makedirs(folder)
        save_file({spelt(k): v.contiguous() for k, v in weights.items()},
                  os.path.join(folder, "weights.safetensors"))
        save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "tensors.safetensors"))


if __name__ == "__main__":
    main()
