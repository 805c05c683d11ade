"""Writes random weights at the size of released models, for bench/full_size.sh.

  full_size_weights.py {sd15,sdxl,pangu_draw_3,pangu_draw_3_ckpt,controlnet,lora,variations} FOLDER

sd15 and sdxl become one f16 .safetensors in LDM's names, pangu_draw_3 a bf16 folder of diffusers with two
experts, whose UNets' names and shapes are checked against the table of the released files; pangu_draw_3_ckpt the
folder of the two MindSpore files, f32, 27.7 GB; controlnet (a folder) and
lora (kohya's names, rank 16, all attention) are sd15's; variations is sd-image-variations, a folder with CLIP's vision
tower (ViT-L/14). Prints the path.
Tensors are written one after another, and only one is held in memory. Such a model draws noise.
"""
import json
import math
import pathlib
import struct
import sys
import zlib

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig,
                          CLIPVisionModelWithProjection)

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools/parity"), str(ROOT / "tools")]
import ldm_inverse as ldm  # noqa: E402
from checkpoint_models import DOWN4, UP4  # noqa: E402
from checkpoint_models import SDXL as TINY_SDXL  # noqa: E402
from pangu_reference import pair, tiny  # noqa: E402

SD15 = dict(sample_size=64, down_block_types=DOWN4, up_block_types=UP4, block_out_channels=[320, 640, 1280, 1280],
            layers_per_block=2, attention_head_dim=8, cross_attention_dim=768)
SDXL = dict(TINY_SDXL, block_out_channels=[320, 640, 1280], attention_head_dim=[5, 10, 20],
            cross_attention_dim=2048, projection_class_embeddings_input_dim=2816)
VAE = dict(down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
           block_out_channels=[128, 256, 512, 512], layers_per_block=2, latent_channels=4, norm_num_groups=32)
CLIP_L = dict(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
              num_attention_heads=12, hidden_act="quick_gelu", projection_dim=768, eos_token_id=2)
BIG_G = dict(vocab_size=49408, hidden_size=1280, intermediate_size=5120, num_hidden_layers=32,
             num_attention_heads=20, hidden_act="gelu", projection_dim=1280, eos_token_id=2)
TYPES = {torch.float16: "F16", torch.bfloat16: "BF16"}
BLOCK = torch.randn(1 << 24, generator=torch.Generator().manual_seed(1))


def on_meta(kind, *arguments, **more):
    """Makes a model that takes no memory, for names and shapes."""
    with torch.device("meta"):
        model = kind(*arguments, **more)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("position_ids")}
    if isinstance(model, CLIPTextModel) and not any(k.startswith("text_model.") for k in state):
        state = {"text_model." + k: v for k, v in state.items()}
    return model, state


def text(kind, config):
    return on_meta(kind, CLIPTextConfig(**config))


def values(name, shape, dtype):
    """Yields the pieces of a tensor: norms are the identity, other weights roughly preserve variances."""
    count = math.prod(shape)
    if len(shape) < 2:
        fill = 1.0 if "norm" in name and name.endswith("weight") or ".ln_" in name and name.endswith("weight") else 0.0
        yield torch.full((count,), fill, dtype=dtype)
        return
    scale = 0.5 / math.sqrt(math.prod(shape[1:]))
    # Every tensor begins elsewhere: a program that keeps equal tensors once would hold next to nothing.
    start = zlib.crc32(name.encode()) % BLOCK.numel()
    while count > 0:
        piece = BLOCK[start : start + count]
        yield (piece * scale).to(dtype)
        count -= piece.numel()
        start = 0


def write(path, state, dtype):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in state.items():
        size = math.prod(tensor.shape) * 2
        header[name] = {"dtype": TYPES[dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for name, tensor in state.items():
            for piece in values(name, tensor.shape, dtype):
                file.write(piece.view(torch.int16).numpy().tobytes())
    return path


def single(name, folder):
    unet, unet_state = on_meta(UNet2DConditionModel, **(SD15 if name == "sd15" else SDXL))
    vae, vae_state = on_meta(AutoencoderKL, **VAE)
    state = {**ldm.below("model.diffusion_model.", ldm.ldm_unet(unet_state, unet.config)),
             **ldm.below("first_stage_model.", ldm.ldm_vae(vae_state, vae.config))}
    first = "cond_stage_model.transformer." if name == "sd15" else "conditioner.embedders.0.transformer."
    state.update(ldm.below(first, text(CLIPTextModel, CLIP_L)[1]))
    if name == "sdxl":
        tower = text(CLIPTextModelWithProjection, BIG_G)[1]
        state.update(ldm.below("conditioner.embedders.1.model.", ldm.openclip_text(tower, BIG_G["num_hidden_layers"])))
    return write(folder / f"{name}.safetensors", state, torch.float16)


def released_shapes():
    """Returns the shapes of the UNet of one generator of PanGu-Draw 3, and the depth of its Chinese encoder."""
    with open(ROOT / "tests/parity/data/pangu_draw_3_tensors.tsv", encoding="utf-8") as table:
        shapes = {name: [int(side) for side in sides.split(",") if side]
                  for name, sides in (line.rstrip("\n").split("\t") for line in table)}
    layers = [int(name.split(".layers.")[1].split(".")[0]) for name in shapes
              if name.startswith("conditioner.embedders.0.") and ".layers." in name]
    return shapes, max(layers) + 1


def pangu_draw_3(folder):
    shapes, layers = released_shapes()
    unet, unet_state = on_meta(UNet2DConditionModel, **dict(SDXL, projection_class_embeddings_input_dim=1536))
    for name, tensor in ldm.below("model.diffusion_model.", ldm.ldm_unet(unet_state, unet.config)).items():
        assert shapes[ldm.mindspore_name(name)] == list(tensor.shape), name
    out, dtype = folder / "pangu_draw_3", torch.bfloat16
    vae, vae_state = on_meta(AutoencoderKL, **VAE, scaling_factor=0.13025)
    towers = {"text_encoder": text(CLIPTextModel, dict(CLIP_L, num_hidden_layers=layers)),
              "text_encoder_2": text(CLIPTextModelWithProjection, BIG_G)}
    for name, (model, state) in {"unet": (unet, unet_state), "unet_texture": (unet, unet_state),
                                 "vae": (vae, vae_state)}.items():
        write(out / name / "diffusion_pytorch_model.safetensors", state, dtype)
        (out / name / "config.json").write_text(json.dumps(dict(model.config), default=str), encoding="utf-8")
    for name, (model, state) in towers.items():
        write(out / name / "model.safetensors", state, dtype)
        (out / name / "config.json").write_text(json.dumps(model.config.to_dict()), encoding="utf-8")
    index = {"_class_name": "PanGuDrawPipeline", "_pangu_version": 1, "expert_boundary": 500}
    (out / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return out


def pangu_draw_3_ckpt(folder):
    return pair.write_pair(folder / "pangu_draw_3_ckpt", tiny.released(pair.NAMES))


def controlnet(folder):
    shape = {k: v for k, v in SD15.items() if k not in ("sample_size", "up_block_types")}
    model, state = on_meta(ControlNetModel, **shape)
    out = folder / "controlnet"
    write(out / "diffusion_pytorch_model.safetensors", state, torch.float16)
    (out / "config.json").write_text(json.dumps(dict(model.config), default=str), encoding="utf-8")
    return out


def lora(folder, rank=16):
    _, unet = on_meta(UNet2DConditionModel, **SD15)
    state = {}
    for name, tensor in unet.items():
        if ".attn" in name and ".to_" in name and name.endswith("weight"):
            stem = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
            state[stem + ".lora_down.weight"] = torch.empty(rank, tensor.shape[1], device="meta")
            state[stem + ".lora_up.weight"] = torch.empty(tensor.shape[0], rank, device="meta")
    return write(folder / "lora.safetensors", state, torch.float16)


def variations(folder):
    out, dtype = folder / "variations", torch.float16
    tower = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                             patch_size=14, image_size=224, projection_dim=768, hidden_act="quick_gelu")
    parts = {"unet": on_meta(UNet2DConditionModel, **SD15), "vae": on_meta(AutoencoderKL, **VAE, scaling_factor=0.18215)}
    for name, (model, state) in parts.items():
        write(out / name / "diffusion_pytorch_model.safetensors", state, dtype)
        (out / name / "config.json").write_text(json.dumps(dict(model.config), default=str), encoding="utf-8")
    model, state = on_meta(CLIPVisionModelWithProjection, tower)
    write(out / "image_encoder" / "model.safetensors", state, dtype)
    (out / "image_encoder" / "config.json").write_text(json.dumps(model.config.to_dict()), encoding="utf-8")
    index = {"_class_name": "StableDiffusionImageVariationPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
             "vae": ["diffusers", "AutoencoderKL"], "image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}
    (out / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return out


def main():
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    makers = {made.__name__: made for made in (pangu_draw_3, pangu_draw_3_ckpt, controlnet, lora, variations)}
    print(makers[name](folder) if name in makers else single(name, folder))


if __name__ == "__main__":
    main()
