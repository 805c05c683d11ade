"""Small networks, pictures and configurations for trainings from nothing. It starts no program."""

import json
import pathlib
import random

from png_file import png_painted
from program import ROOT
from safetensors_file import safetensors_of

AUTOENCODER = {
    "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 4,
    "block_out_channels": [8, 40], "layers_per_block": 1, "norm_num_groups": 4,
    "mid_block_add_attention": False, "use_quant_conv": True, "use_post_quant_conv": True,
}
# Of a checkpoint that one process wrote, in output_dir.
ONE_SHARD = "checkpoint/shard-00001-model-00001-of-00001.safetensors"
LATENT_CHANNELS = json.loads((ROOT / "models/mini/vae/config.json").read_text())["latent_channels"]
# Of the latents and captions of models/mini.
UNET = {
    "_class_name": "UNet2DConditionModel", "sample_size": 4,
    "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "block_out_channels": [16, 16],
    "layers_per_block": 1, "transformer_layers_per_block": 1, "attention_head_dim": [1, 1],
    "cross_attention_dim": 384, "use_linear_projection": True, "norm_num_groups": 4,
    "flip_sin_to_cos": True, "freq_shift": 0,
}


def checkpoint_name(output_dir):
    """Of the folder with the last whole checkpoint; each has another one. None if there is none."""
    link = pathlib.Path(output_dir) / "checkpoint"
    return link.readlink().name if link.is_symlink() else None


def disc_png(width, height, seed):
    """The bytes of a PNG: a disc of one colour on another."""
    draw = random.Random(seed)
    inside, outside = (bytes(draw.randrange(256) for _ in range(3)) for _ in range(2))
    x0, y0, r = draw.uniform(0.3, 0.7) * width, draw.uniform(0.3, 0.7) * height, width * 0.25
    return png_painted(width, height, lambda x, y: inside if (x - x0) ** 2 + (y - y0) ** 2 < r * r else outside)


def vgg_weights(seed):
    """The bytes of a safetensors file: VGG16's trunk up to relu3_3 with random weights of one size."""
    draw, signs = random.Random(seed), bytes(0xBC if byte & 1 else 0x3C for byte in range(256))

    def bf16(count):
        data = bytearray(2 * count)
        data[0::2], data[1::2] = draw.randbytes(count), draw.randbytes(count).translate(signs)
        return bytes(data)

    tensors, inputs = {}, 3
    for index, outputs in ((0, 64), (2, 64), (5, 128), (7, 128), (10, 256), (12, 256), (14, 256)):
        tensors[f"features.{index}.weight"] = ("BF16", [outputs, inputs, 3, 3], bf16(9 * outputs * inputs))
        tensors[f"features.{index}.bias"] = ("BF16", [outputs], bf16(outputs))
        inputs = outputs
    return safetensors_of(tensors)


def write_networks(folder):
    """vae.json and unet.json."""
    (folder / "vae.json").write_text(json.dumps(AUTOENCODER))
    (folder / "unet.json").write_text(json.dumps(UNET))


def write_config(path, values):
    """A training configuration, TOML; a list, a text, a number or a truth value is written in it as in JSON."""
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return path
