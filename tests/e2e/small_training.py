"""Small networks, pictures and configurations for trainings from nothing. It starts no program."""

import json
import pathlib
import random

from png_file import png_painted
from program import ROOT

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


def write_networks(folder):
    """vae.json and unet.json."""
    (folder / "vae.json").write_text(json.dumps(AUTOENCODER))
    (folder / "unet.json").write_text(json.dumps(UNET))


def write_config(path, values):
    """A training configuration, TOML; a list, a text, a number or a truth value is written in it as in JSON."""
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return path
