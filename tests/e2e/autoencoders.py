"""Autoencoders for the end-to-end tests, made of the embedded model's."""

import json
import pathlib
import shutil
import struct

MINI = pathlib.Path(__file__).resolve().parents[2] / "models/mini"


def write_vae_changed_in(folder, part):
    """The embedded model's autoencoder with the first weight of the first tensor below `part` changed."""
    shutil.copytree(MINI / "vae", folder)
    file = folder / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    header = struct.unpack("<Q", data[:8])[0]
    tensors = json.loads(data[8 : 8 + header])
    begin = min(t["data_offsets"][0] for name, t in tensors.items() if name.startswith(part))
    data[8 + header + begin] ^= 1
    file.write_bytes(data)
    return folder
