"""Dumps what diffusers computes with the files of a time-decoupled model folder, for tests/parity.

Usage: dump_mini.py MODEL OUT.safetensors
"""

import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file


@torch.no_grad()
def main():
    model, out = sys.argv[1:]
    torch.manual_seed(21)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 5:] = False
    tensors = {
        "sample": torch.randn(2, 16, 12, 20),
        "t_index": torch.tensor([700.0, 130.0]),
        "context": torch.randn(2, 9, 384),
        "image": torch.rand(1, 3, 128, 160) * 2 - 1,
    }
    counts = mask.float().unsqueeze(2)
    pooled = (tensors["context"] * counts).sum(1) / counts.sum(1)  # of class_embed_type "projection"
    for part in ("unet", "unet_texture"):
        unet = UNet2DConditionModel.from_pretrained(model, subfolder=part, torch_dtype=torch.float32).eval()
        tensors[part] = unet(
            tensors["sample"],
            tensors["t_index"],
            tensors["context"],
            encoder_attention_mask=mask,
            class_labels=pooled,
        ).sample
    vae = AutoencoderKL.from_pretrained(model, subfolder="vae", torch_dtype=torch.float32).eval()
    tensors["mean"] = vae.encode(tensors["image"]).latent_dist.mean
    tensors["decoded"] = vae.decode(tensors["mean"]).sample
    tensors["mask"] = mask.float()
    save_file({k: v.contiguous() for k, v in tensors.items()}, out)


if __name__ == "__main__":
    main()
