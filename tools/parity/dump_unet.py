"""Dumps what diffusers' UNet2DConditionModel computes, layer by layer, for tests/parity/unet_test.cpp.

  dump_unet.py OUT_DIR [--case NAME ...] [--full-sdxl]

For every case: OUT_DIR/NAME/{config.json, weights-NN.safetensors, tensors.safetensors}. The weights are random with a
fixed seed, the widths tiny, the topology that of the model the case is named after. In tensors.safetensors,
"in/NAME" are inputs and "out/0007/LAYER" is the output of a layer, numbered in the order of computation.
"""
import argparse
import json
import os
import re

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from watched import watch

# Layers whose output the C++ model reports too.
TRACED = re.compile(
    r"^(conv_in|conv_out|time_embedding|add_embedding|class_embedding"
    r"|.*\.(resnets|attentions|transformer_blocks|downsamplers|upsamplers)\.\d+|.*\.(attn1|attn2|ff))$"
)
DOWN4 = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
UP4 = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
SD15 = dict(
    sample_size=64, in_channels=4, out_channels=4, down_block_types=DOWN4, up_block_types=UP4,
    block_out_channels=[32, 64, 64, 96], layers_per_block=2, attention_head_dim=8, cross_attention_dim=24,
)
SD21 = dict(
    SD15, attention_head_dim=[1, 2, 2, 3], cross_attention_dim=40, use_linear_projection=True, upcast_attention=True
)
# SDXL base: 1280 pooled + 6 numbers of 256. PanGu-Draw 3: the same network, 1280 + one size index of 256.
SDXL = dict(
    sample_size=128, in_channels=4, out_channels=4,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    block_out_channels=[32, 64, 96], layers_per_block=2, transformer_layers_per_block=[1, 2, 10],
    attention_head_dim=[1, 2, 3], cross_attention_dim=48, use_linear_projection=True,
    addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
)
PANGU3 = dict(
    SDXL, block_out_channels=[32, 64, 128], attention_head_dim=[1, 1, 2], cross_attention_dim=32,
    projection_class_embeddings_input_dim=1536,
)
# The refiner: four levels, attention in the middle two, 1280 pooled + 5 numbers.
REFINER = dict(
    SDXL, down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    block_out_channels=[32, 64, 128, 128], transformer_layers_per_block=4, attention_head_dim=[1, 1, 2, 2],
    cross_attention_dim=40, projection_class_embeddings_input_dim=2560,
)
MINI = dict(
    sample_size=16, in_channels=16, out_channels=16,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    block_out_channels=[96, 192, 256], layers_per_block=1, attention_head_dim=[1, 3, 4], cross_attention_dim=384,
    use_linear_projection=True,
)
ODDITIES = dict(
    in_channels=5, out_channels=3, down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"], block_out_channels=[24, 48], norm_num_groups=8,
    layers_per_block=[1, 2], only_cross_attention=[True, False], attention_head_dim=3, cross_attention_dim=20,
    mid_block_type="UNetMidBlock2D", num_class_embeds=7, conv_in_kernel=1, conv_out_kernel=5, flip_sin_to_cos=False,
    freq_shift=1,
)
# name -> (config, latent height, latent width, what else)
CASES = {
    "sd15": (SD15, 16, 16, {}),
    "sd15_odd_size": (SD15, 17, 23, {}),
    "sd15_context_mask": (SD15, 8, 16, {"mask": True}),
    "sd15_controlnet": (SD15, 16, 8, {"controlnet": True}),
    "sd21": (SD21, 16, 24, {}),
    "sdxl": (SDXL, 16, 16, {}),
    "sdxl_odd_size": (SDXL, 17, 23, {}),
    "sd15_inpainting": (dict(SD15, in_channels=9), 16, 16, {}),
    "sd21_inpainting": (dict(SD21, in_channels=9), 8, 8, {}),
    "sdxl_inpainting": (dict(SDXL, in_channels=9), 8, 8, {}),
    "sd_image_variations": (SD15, 16, 16, {"tokens": 1}),  # one CLIP image embedding instead of a prompt
    "sdxl_refiner": (REFINER, 16, 16, {}),
    "pangu_draw_3": (PANGU3, 16, 8, {}),
    "mini": (MINI, 16, 16, {}),
    "mini_context_mask_odd_size": (MINI, 13, 18, {"mask": True}),
    "no_mid_class_projection": (
        dict(SD15, mid_block_type=None, class_embed_type="projection", projection_class_embeddings_input_dim=10),
        16, 16, {},
    ),
    "class_timestep": (dict(SD15, class_embed_type="timestep"), 8, 8, {}),
    "oddities": (ODDITIES, 9, 7, {}),
}
FULL_SDXL = dict(
    SDXL, block_out_channels=[320, 640, 1280], attention_head_dim=[5, 10, 20], cross_attention_dim=2048
)


SHARD_BYTES = 1 << 29


def randomise_norms(model, generator):
    """Randomises norms, which start as the identity and would hide a mistake in their weights."""
    for name, parameter in model.named_parameters():
        if re.search(r"norm[^.]*\.(weight|bias)$", name):
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)


def inputs_of(config, height, width, what, generator):
    def randn(*shape):
        return torch.randn(shape, generator=generator)

    batch, tokens = 2, what.get("tokens", 7)
    found = {
        "sample": randn(batch, config["in_channels"], height, width),
        "t_index": torch.tensor([981.0, 13.5]),
        "context": randn(batch, tokens, config["cross_attention_dim"]),
    }
    if what.get("mask"):
        found["context_mask"] = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 1, 1]], dtype=torch.bool)
    if "addition_embed_type" in config:
        numbers = (config["projection_class_embeddings_input_dim"] - 1280) // 256
        found["text_embeds"] = randn(batch, 1280)
        found["time_ids"] = torch.randint(0, 1025, (batch, numbers), generator=generator).float()
    if "num_class_embeds" in config:
        found["class_labels"] = torch.tensor([3, 6])
    elif config.get("class_embed_type") == "projection":
        found["class_labels"] = randn(batch, config["projection_class_embeddings_input_dim"])
    elif config.get("class_embed_type") == "timestep":
        found["class_labels"] = torch.tensor([20.0, 400.0])
    return found


def controlnet_residuals(model, found, generator):
    """Returns one residual for every skip state; their shapes come from a run that counts them."""
    shapes = []
    handles = []
    watched = ["conv_in"]
    for b, block in enumerate(model.down_blocks):
        inner = "attentions" if hasattr(block, "attentions") else "resnets"
        watched += [f"down_blocks.{b}.{inner}.{i}" for i in range(len(block.resnets))]
        watched += [f"down_blocks.{b}.downsamplers.0"] if block.downsamplers is not None else []

    def note(_module, _arguments, output):
        shapes.append((output[0] if isinstance(output, tuple) else output).shape)

    for name in watched:
        handles.append(model.get_submodule(name).register_forward_hook(note))
    mid = []
    handles.append(model.mid_block.register_forward_hook(lambda _m, _a, output: mid.append(output.shape)))
    model(found["sample"], found["t_index"], found["context"])
    for handle in handles:
        handle.remove()
    for i, shape in enumerate(shapes):
        found[f"down_residual/{i:02d}"] = 0.5 * torch.randn(shape, generator=generator)
    found["mid_residual"] = 0.5 * torch.randn(mid[0], generator=generator)


def run(model, found):
    outputs = watch(model, lambda name: f"out/{{number:04d}}/{name}" if TRACED.match(name) else None)
    added = {k: found[k] for k in ("text_embeds", "time_ids") if k in found}
    residuals = [found[k] for k in sorted(found) if k.startswith("down_residual/")]
    model(
        found["sample"], found["t_index"], found["context"], class_labels=found.get("class_labels"),
        added_cond_kwargs=added or None, encoder_attention_mask=found.get("context_mask"),
        down_block_additional_residuals=residuals or None, mid_block_additional_residual=found.get("mid_residual"),
    )
    return outputs


def save_in_shards(state, folder):
    """Saves weights in shards: save_file holds a second copy of what it writes, which would be too much for a whole
    large model."""
    shards, size = [{}], 0
    for key, value in state.items():
        if size > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][key] = value
        size += value.nbytes
    for i, shard in enumerate(shards):
        save_file(shard, os.path.join(folder, f"weights-{i:02d}.safetensors"))


@torch.no_grad()
def dump(name, config, height, width, what, folder):
    torch.manual_seed(1234)
    generator = torch.Generator().manual_seed(5678)
    model = UNet2DConditionModel.from_config(dict(config)).eval()
    randomise_norms(model, generator)
    found = inputs_of(config, height, width, what, generator)
    if what.get("controlnet"):
        controlnet_residuals(model, found, generator)
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    model.save_config(os.path.join(folder, name))
    save_in_shards(model.state_dict(), os.path.join(folder, name))
    tensors = run(model, found)
    tensors.update({f"in/{key}": value for key, value in found.items()})
    save_file(tensors, os.path.join(folder, name, "tensors.safetensors"))
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"case": name, "parameters": parameters, "layers": len(tensors) - len(found)}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder")
    parser.add_argument("--case", nargs="*", choices=sorted(CASES))
    parser.add_argument("--full-sdxl", action="store_true", help="SDXL at full width instead: 10 GB of memory and disk")
    arguments = parser.parse_args()
    if arguments.full_sdxl:
        dump("full_sdxl", FULL_SDXL, 16, 16, {}, arguments.folder)
        return
    for name in arguments.case or CASES:
        dump(name, *CASES[name], arguments.folder)


if __name__ == "__main__":
    main()
