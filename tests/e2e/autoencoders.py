"""Autoencoders for the end-to-end tests, made of the embedded model's."""

import pathlib
import shutil

from safetensors_file import safetensors_parts

MINI = pathlib.Path(__file__).resolve().parents[2] / "models/mini"


def write_vae_changed_in(folder, part):
    """The embedded model's autoencoder with the first weight of the first tensor below `part` changed."""
    shutil.copytree(MINI / "vae", folder)
    file = folder / "diffusion_pytorch_model.safetensors"
    header, start = safetensors_parts(file)
    data = bytearray(file.read_bytes())
    data[start + min(t["data_offsets"][0] for name, t in header.items() if name.startswith(part))] ^= 1
    file.write_bytes(data)
    return folder
