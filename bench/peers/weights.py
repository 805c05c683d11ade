"""Random weights for every engine of the bench, once, in a cache folder: folders in diffusers' layout, bf16 safetensors.

The sizes are those of the released models (bench/full_size_weights.py). A folder appears whole or not at all.
"""
import json
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

SCHEDULER = {"_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012,
             "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
             "steps_offset": 1, "timestep_spacing": "leading"}
TINY_UNET = dict(block_out_channels=[32, 64, 64, 64], layers_per_block=1, cross_attention_dim=64, norm_num_groups=16)
TINY_VAE = dict(block_out_channels=[32, 32, 64, 64], layers_per_block=1, norm_num_groups=16)
TINY_CLIP = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, projection_dim=64)


def write_model(folder, pipeline, unet, vae, encoders):
    """encoders: {folder: (class of transformers, its configuration)}."""
    import full_size_weights as full
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    index = {"_class_name": pipeline, "unet": ["diffusers", "UNet2DConditionModel"],
             "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", SCHEDULER["_class_name"]]}
    parts = {"unet": (*full.on_meta(UNet2DConditionModel, **unet), "diffusion_pytorch_model"),
             "vae": (*full.on_meta(AutoencoderKL, **vae), "diffusion_pytorch_model")}
    for name, (kind, config) in encoders.items():
        parts[name] = (*full.text(kind, config), "model")
        index[name] = ["transformers", kind.__name__]
    for name, (model, state, stem) in parts.items():
        full.write(folder / name / f"{stem}.safetensors", state, torch.bfloat16)
        config = model.config.to_dict() if name in encoders else dict(model.config)
        (folder / name / "config.json").write_text(json.dumps(config, default=str), encoding="utf-8")
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER), encoding="utf-8")
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")


def sd15(folder):
    import full_size_weights as full
    write_model(folder, "StableDiffusionPipeline", full.SD15, dict(full.VAE, scaling_factor=0.18215),
                {"text_encoder": (full.CLIPTextModel, full.CLIP_L)})


def sdxl(folder):
    import full_size_weights as full
    write_model(folder, "StableDiffusionXLPipeline", full.SDXL, dict(full.VAE, scaling_factor=0.13025),
                {"text_encoder": (full.CLIPTextModel, full.CLIP_L),
                 "text_encoder_2": (full.CLIPTextModelWithProjection, full.BIG_G)})


def pangu3(folder):
    import full_size_weights as full
    made = full.pangu_draw_3(folder.parent / (folder.name + ".made"))
    # The numbers of the two experts are the same, so one file is enough.
    weights = "diffusion_pytorch_model.safetensors"
    (made / "unet_texture" / weights).unlink()
    os.link(made / "unet" / weights, made / "unet_texture" / weights)
    folder.rmdir()
    made.rename(folder)
    made.parent.rmdir()


def tiny(folder):
    import full_size_weights as full
    write_model(folder, "StableDiffusionPipeline", dict(full.SD15, **TINY_UNET),
                dict(full.VAE, scaling_factor=0.18215, **TINY_VAE),
                {"text_encoder": (full.CLIPTextModel, dict(full.CLIP_L, **TINY_CLIP))})


def mini(folder):
    """models/mini for the peers, who cannot read its text encoder of 4 bits a weight: that is written out in f32."""
    import numpy as np
    from safetensors.numpy import load_file, save_file
    own = ROOT / "models/mini"
    for name in ("unet", "unet_texture", "vae"):
        shutil.copytree(own / name, folder / name)
    packed = load_file(own / "text_encoder/model.safetensors")
    tensors = {}
    for name, tensor in packed.items():
        if name.endswith("_packed"):
            stem = name.removesuffix("_packed")
            blocks = tensor.reshape(tensor.shape[0], -1, 16)
            nibbles = np.concatenate([blocks & 15, blocks >> 4], axis=2).astype("float32") - 8
            scale = packed[stem + "_scale"].astype("float32")
            tensors[stem] = (nibbles * scale[:, :, None]).reshape(tensor.shape[0], -1)
        elif not name.endswith("_scale"):
            tensors[name] = tensor.astype("float32") if tensor.dtype.kind == "f" else tensor
    config = json.loads((own / "text_encoder/config.json").read_text(encoding="utf-8"))
    del config["quantization_config"]
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder/config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, folder / "text_encoder/model.safetensors", metadata={"format": "pt"})


MAKERS = {maker.__name__: maker for maker in (sd15, sdxl, pangu3, mini, tiny)}


def weights_of(name, cache):
    """Returns the folder of a model's weights, which is made if there is none."""
    folder = pathlib.Path(cache) / "weights" / name
    if not folder.exists():
        print(f"writing the weights of {name} into {folder}", flush=True)
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        MAKERS[name](part)
        part.rename(folder)
    return folder


if __name__ == "__main__":
    weights_of(sys.argv[1], sys.argv[2])
