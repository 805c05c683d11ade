"""Makes what rows.py draws with beside the embedded models: tiny models of every family with random weights
of fixed seeds, what is added to them, and pictures to begin with. It needs diffusers and transformers.
pictures.py calls it once and keeps the folder.
"""

import json
import pathlib
import shutil
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of tools/parity/dump_checkpoints.py, and what of them no row reads.
CHECKPOINTS = [
    "sd1", "sd1_inpaint", "image_variations", "sd2", "sd2_v", "sd2_inpaint", "sdxl", "sdxl_inpaint",
    "sdxl_refiner", "controlnet_sd1", "controlnet_sdxl", "lora_kohya_sd1", "lora_kohya_sd1_tucker",
    "lora_kohya_sdxl", "lora_kohya_sdxl_ldm", "lora_diffusers_sdxl", "lora_diffusers_old_sdxl",
    "lora_diffusers_first_sd1", "lora_peft_sd1", "embedding_a1111", "embedding_sdxl", "embedding_diffusers"]
UNUSED = ["*/expected.safetensors", "*/bare.safetensors", "controlnet_sdxl/folder", "sdxl_inpaint/folder",
          "sd2_inpaint/folder"]


def in_order(path):
    """safetensors writes more than one key of its metadata in an order of chance."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def old_names(folder, old):
    """`folder` as diffusers wrote it before 0.15: the autoencoder's attention had other names."""
    from safetensors.torch import load_file, save_file
    shutil.copytree(folder, old)
    weights = next((old / "vae").glob("*.safetensors"))
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in load_file(weights).items():
        for new, before in names.items():
            name = name.replace(f".{new}.", f".{before}.")
        renamed[name] = tensor
    save_file(renamed, weights, metadata={"format": "pt"})


def tiny_autoencoder(folder):
    """Its pictures are about half grey, 0.5, so that few of their bytes are cut off."""
    import torch
    from diffusers import AutoencoderTiny
    import picture_models as tiny
    draws = torch.Generator().manual_seed(51)
    torch.manual_seed(51)
    widths = (32,) * 4
    model = tiny.louder(AutoencoderTiny(encoder_block_out_channels=widths, decoder_block_out_channels=widths))
    found = (model.decode(20 * torch.randn((2, 4, 16, 16), generator=draws)).sample + 1) / 2  # from 0 to 1
    last, gains = model.decoder.layers[-1], 0.2 / found.std((0, 2, 3))
    last.weight *= gains[:, None, None, None]
    last.bias.copy_(0.5 + (last.bias - found.mean((0, 2, 3))) * gains)
    model.save_pretrained(folder)


def pictures(folder):
    from PIL import Image
    from safetensors.numpy import load_file
    import picture_models as tiny
    folder.mkdir()
    sizes = {"start": (128, 96), "hint0": (128, 96), "hint1": (128, 96), "vary0": (300, 260),
             "vary1": (96, 80), "square": (128, 128)}
    for seed, (name, size) in enumerate(sizes.items(), 1):
        tiny.photograph(*size, seed).save(folder / f"{name}.png")
    tiny.mask(128, 96).save(folder / "mask.png")
    tiny.mask(128, 128).save(folder / "mask_square.png")
    person = load_file(ROOT / "tests/parity/data/movenet_reference.safetensors")["picture"]
    Image.fromarray(person).save(folder / "person.png")


def make(folder):
    """Makes `folder`, whole or not at all. The same tools give the same bytes every time."""
    sys.path[:0] = [str(ROOT / "tools/parity"), str(ROOT / "tools")]
    import torch
    import transformers
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    import dump_checkpoints
    from pangu_reference import pair
    torch.set_num_threads(1)
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with torch.no_grad():
        for name in CHECKPOINTS:
            dump_checkpoints.make_case(name, unfinished)
        tiny_autoencoder(unfinished / "taesd")
    for path in [path for pattern in UNUSED for path in unfinished.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    in_order(unfinished / "lora_diffusers_sdxl/single.safetensors")
    pair.write_tiny_pair(unfinished / "pangu_pair")
    old_names(unfinished / "sd1/folder", unfinished / "sd1/old_folder")
    words = unfinished / "words"  # the word is the file's name
    words.mkdir()
    for name in ("a1111", "sdxl", "diffusers"):
        shutil.move(unfinished / f"embedding_{name}/single.safetensors", words / f"hat_{name}.safetensors")
        (unfinished / f"embedding_{name}").rmdir()
    pictures(unfinished / "pictures")
    unfinished.rename(folder)
