"""Dumps what diffusers' AutoencoderTiny computes, for tests/parity/autoencoder_tiny_test.cpp.

  dump_autoencoder_tiny.py OUT_DIR

For every case: OUT_DIR/NAME/{config.json, weights.safetensors, tensors.safetensors}, random weights of fixed seeds.
"""
import os
import sys

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

TINY = {
    "taesd": dict(encoder_block_out_channels=[16] * 4, decoder_block_out_channels=[24] * 4),
    "sixteen_channels": dict(encoder_block_out_channels=[16] * 4, decoder_block_out_channels=[16] * 4,
                             latent_channels=16, scaling_factor=1.5, shift_factor=0.25),
    "three_levels": dict(encoder_block_out_channels=[8] * 3, decoder_block_out_channels=[8] * 3,
                         num_encoder_blocks=[2, 0, 1], num_decoder_blocks=[1, 2, 3]),
}


@torch.no_grad()
def dump(folder, config, seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = AutoencoderTiny.from_config(dict(config)).eval()
    for parameter in model.parameters():
        parameter.data *= 1.5
    image = 2 * torch.rand(2, 3, 40, 64, generator=generator) - 1
    odd = 2 * torch.rand(1, 3, 41, 30, generator=generator) - 1
    latent = 4 * torch.randn(2, config.get("latent_channels", 4), 5, 9, generator=generator)
    tensors = {
        "in/image": image, "in/odd": odd, "in/latent": latent, "out/encoded": model.encode(image).latents,
        "out/encoded_odd": model.encode(odd).latents, "out/decoded": model.decode(latent).sample,
    }
    os.makedirs(folder)
    model.save_config(folder)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, os.path.join(folder, "weights.safetensors"))
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "tensors.safetensors"))


def main():
    for seed, (name, config) in enumerate(TINY.items()):
        dump(os.path.join(sys.argv[1], name), config, seed)


if __name__ == "__main__":
    main()
