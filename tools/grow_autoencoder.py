#!/usr/bin/env python3
"""Turns an autoencoder for small pictures into one for pictures of twice the side with the same latents.

    tools/grow_autoencoder.py IN_VAE OUT_VAE --pictures DATASET [--width 16]

Progressive growing (Karras et al. 2018) for diffusers' AutoencoderKL: IN_VAE (f = 2^k) was trained
on pictures shrunk to half; OUT_VAE (f = 2^(k+1)) has one more level at the outside, on both ends,
whose residual branches end in zero and whose plain convolutions are fitted by least squares on real
pictures, so that it starts as "shrink, then the old network" and "the old network, then enlarge".
`pangu-draw train` trains it further (key initial_weights).
"""
import argparse
import io
import json
import pathlib
import random
import tarfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file


def rows_of(dataset):
    """Yields the manifest lines of a dataset folder or a folder of shards, each with the bytes of its picture."""
    if (dataset / "manifest.jsonl").exists():
        for line in open(dataset / "manifest.jsonl", encoding="utf-8"):
            row = json.loads(line)
            yield row, (dataset / row["file"]).read_bytes
    for path in sorted(dataset.glob("*.tar")):
        members = {}
        with tarfile.open(path) as shard:
            for member in shard:
                name, kind = member.name.rsplit(".", 1)
                members.setdefault(name, {})[kind] = shard.extractfile(member).read()
        for parts in members.values():
            picture = next(parts[kind] for kind in ("webp", "png", "jpg") if kind in parts)
            yield json.loads(parts["json"]), lambda picture=picture: picture


def pictures(dataset, count, side):
    rows = [row for row in rows_of(dataset) if min(row[0]["width"], row[0]["height"]) >= side]
    random.Random(0).shuffle(rows)
    out = []
    for i, (_, read) in enumerate(rows[:count]):
        image = Image.open(io.BytesIO(read())).convert("RGBA")
        colour = (255, 255, 255, 255) if i % 2 else tuple(random.Random(i).choices(range(256), k=3)) + (255,)
        ground = Image.new("RGBA", image.size, colour)
        ground.alpha_composite(image)
        ground = ground.convert("RGB").resize((side, side), Image.BICUBIC)
        out.append(np.asarray(ground, dtype=np.float32) / 127.5 - 1)
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).contiguous()


def patches_of(x, stride):
    """Returns the values under a 3x3 kernel, [N*H*W, C*9], in the order of a convolution's weight."""
    return F.unfold(x, 3, padding=0, stride=stride).transpose(1, 2).reshape(-1, x.shape[1] * 9)


def fit(inputs, wanted, ridge):
    """Ridge regression with a bias: returns weight [out,in] and bias [out]."""
    ones = torch.ones(inputs.shape[0], 1, dtype=torch.float64)
    a = torch.cat([inputs.double(), ones], 1)
    gram = a.T @ a
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    solution = torch.linalg.solve(gram, a.T @ wanted.double())
    error = (a @ solution - wanted).square().mean() / wanted.double().var()
    return solution[:-1].T.float(), solution[-1].float(), error.item()


def zero_resnet(new, prefix, width):
    for part, shape in {"conv1": (width, width, 3, 3), "conv2": (width, width, 3, 3)}.items():
        weight = torch.zeros(shape)
        if part == "conv1":
            torch.nn.init.kaiming_normal_(weight, generator=torch.Generator().manual_seed(len(new)))
        new[f"{prefix}.{part}.weight"], new[f"{prefix}.{part}.bias"] = weight, torch.zeros(width)
    for part in ("norm1", "norm2"):
        new[f"{prefix}.{part}.weight"], new[f"{prefix}.{part}.bias"] = torch.ones(width), torch.zeros(width)


def normalise(new, vae, images, channels):
    """Folds each latent channel's mean and deviation over the pictures into the 1x1 convolutions on
    both sides of the latent, so that scaling_factor = 1 and every channel has variance 1."""
    means = torch.cat([vae.encode(batch).latent_dist.mean for batch in images.split(16)]).double()
    shift, scale = means.mean((0, 2, 3)).float(), means.std((0, 2, 3)).float()
    weight, bias = new["quant_conv.weight"].clone(), new["quant_conv.bias"].clone()
    weight[:channels] /= scale[:, None, None, None]
    bias[:channels] = (bias[:channels] - shift) / scale
    bias[channels:] -= 2 * scale.log()  # log-variance
    new["quant_conv.weight"], new["quant_conv.bias"] = weight, bias
    weight = new["post_quant_conv.weight"]
    new["post_quant_conv.bias"] = new["post_quant_conv.bias"] + weight[:, :, 0, 0] @ shift
    new["post_quant_conv.weight"] = weight * scale[None, :, None, None]
    print("deviation of the latent channels before:", " ".join(f"{s:.2f}" for s in scale.tolist()))


def save(folder, config, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.to(torch.bfloat16).contiguous() for k, v in tensors.items()},
              folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--pictures", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--side", type=int, default=256)
    args = parser.parse_args()

    config = json.loads((args.source / "config.json").read_text())
    old = {k: v.float() for k, v in load_file(args.source / "diffusion_pytorch_model.safetensors").items()}
    width = config["block_out_channels"][0]
    groups, layers = config["norm_num_groups"], config["layers_per_block"]
    levels = len(config["block_out_channels"])
    from diffusers import AutoencoderKL  # the old network is run to fit its new ends

    torch.set_grad_enabled(False)
    small = AutoencoderKL.from_pretrained(args.source).float().eval()
    images = pictures(args.pictures, args.count, args.side)
    halves = F.avg_pool2d(images, 2)

    new = {}
    for name, tensor in old.items():  # one level further inside
        parts = name.split(".")
        if parts[:2] == ["encoder", "down_blocks"]:
            parts[2] = str(int(parts[2]) + 1)
        new[".".join(parts)] = tensor

    # Encoder: RGB shifted to the four diagonal neighbours (12 channels), so that the strided 3x3
    # kernel after it sees 5x5 pixels; fitted to the old conv_in on the shrunk picture.
    if width < 12:
        raise SystemExit("grow_autoencoder: expected at least 12 channels at the outer level, found %d" % width)
    conv_in = torch.zeros(width, 3, 3, 3)
    for shift, (dy, dx) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        for c in range(3):
            conv_in[shift * 3 + c, c, dy, dx] = 1
    new["encoder.conv_in.weight"], new["encoder.conv_in.bias"] = conv_in, torch.zeros(width)
    for i in range(layers):
        zero_resnet(new, f"encoder.down_blocks.0.resnets.{i}", width)
    h = F.conv2d(images, conv_in, padding=1)
    wanted = small.encoder.conv_in(halves).permute(0, 2, 3, 1).reshape(-1, width)
    weight, bias, error = fit(patches_of(F.pad(h, (0, 1, 0, 1)), 2), wanted, 1e-6)
    new["encoder.down_blocks.0.downsamplers.0.conv.weight"] = weight.reshape(width, width, 3, 3)
    new["encoder.down_blocks.0.downsamplers.0.conv.bias"] = bias
    print(f"encoder: relative squared error of the new first level {error:.2e}")

    # Decoder: the old last level, a smoothing upsampler, residual blocks that do nothing yet, and
    # conv_out fitted to the full picture.
    hidden = {}
    small.decoder.conv_norm_out.register_forward_pre_hook(lambda _, inputs: hidden.update(x=inputs[0]))
    small.decode(small.encode(halves).latent_dist.mean)
    last = f"decoder.up_blocks.{levels - 1}.upsamplers.0.conv"
    smooth = torch.zeros(width, width, 3, 3)
    taps = torch.tensor([0.25, 0.5, 0.25])
    smooth[range(width), range(width)] = taps[:, None] * taps[None, :]
    new[last + ".weight"], new[last + ".bias"] = smooth, torch.zeros(width)
    for i in range(layers + 1):
        zero_resnet(new, f"decoder.up_blocks.{levels}.resnets.{i}", width)
    up = F.conv2d(F.interpolate(hidden["x"], scale_factor=2), smooth, padding=1)
    up = F.silu(F.group_norm(up, groups, old["decoder.conv_norm_out.weight"],
                             old["decoder.conv_norm_out.bias"], eps=1e-6))
    rows = torch.randperm(images.shape[0] * args.side**2, generator=torch.Generator().manual_seed(0))[:400000]
    weight, bias, error = fit(patches_of(F.pad(up, (1, 1, 1, 1)), 1)[rows],
                              images.permute(0, 2, 3, 1).reshape(-1, 3)[rows], 1e-6)
    new["decoder.conv_out.weight"], new["decoder.conv_out.bias"] = weight.reshape(3, width, 3, 3), bias
    print(f"decoder: relative squared error of the enlarged picture {error:.2e}")

    config["block_out_channels"] = [width] + config["block_out_channels"]
    config["down_block_types"] = ["DownEncoderBlock2D"] * (levels + 1)
    config["up_block_types"] = ["UpDecoderBlock2D"] * (levels + 1)
    config.pop("training", None)
    save(args.out, config, new)
    large = AutoencoderKL.from_pretrained(args.out).float().eval()
    normalise(new, large, images, config["latent_channels"])
    config["scaling_factor"], config["shift_factor"] = 1.0, 0.0
    save(args.out, config, new)

    large = AutoencoderKL.from_pretrained(args.out).float().eval()
    decoded = large.decode(large.encode(images[:32]).latent_dist.mean).sample.clamp(-1, 1)
    mse = (decoded - images[:32]).square().mean((1, 2, 3)) / 4
    print(f"the grown autoencoder: {(-10 * mse.log10()).mean():.1f} dB at {args.side} px before further training")


if __name__ == "__main__":
    main()
