"""Dumps reference tensors of diffusers' AutoencoderKL with random weights, for tests/parity/autoencoder_test.cpp.

Usage: dump_autoencoder.py FOLDER

Writes FOLDER/CASE/{config.json, weights.safetensors, tensors.safetensors}.
"""

import os
import sys

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

# Topologies: SD and SDXL (f = 8, four levels), ours (f = 16, five levels), none of the extras.
CASES = {
    "sd": dict(block_out_channels=[16, 32, 32, 32], layers_per_block=2, norm_num_groups=8),
    "mini": dict(block_out_channels=[8, 16, 16, 24, 32], layers_per_block=1, norm_num_groups=8, latent_channels=16),
    "plain": dict(
        block_out_channels=[8, 16],
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ),
}


@torch.no_grad()
def dump(name, config, folder):
    torch.manual_seed(11)
    levels = len(config["block_out_channels"])
    model = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels, **config
    ).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    image = torch.randn(2, 3, 64, 96)
    posterior = model.encode(image).latent_dist
    latent = torch.randn_like(posterior.mean)
    target = os.path.join(folder, name)
    os.makedirs(target, exist_ok=True)
    model.save_config(target)
    save_file(model.state_dict(), os.path.join(target, "weights.safetensors"))
    tensors = {
        "image": image,
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        "latent": latent,
        "decoded": model.decode(latent).sample,
    }
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(target, "tensors.safetensors"))


if __name__ == "__main__":
    for case, settings in CASES.items():
        dump(case, settings, sys.argv[1])
