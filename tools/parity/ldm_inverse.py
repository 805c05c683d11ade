"""Turns names of diffusers and transformers back into those of LDM single files, for tests. It is a second
implementation of the naming, which walks a network's configuration block by block, in the other direction from
src/io/ldm/ldm_names.h and sharing nothing with it. It also writes MindSpore's checkpoint format. `check_*` compare it
with diffusers' own converters. It is no converter for users.
"""

import pathlib
import re
import sys

import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from pangu_reference import ckpt  # noqa: E402

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
          "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
OUTSIDE = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
           "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
           "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
           "controlnet_mid_block": "middle_block_out.0"}


def moved(state, pairs):
    """Returns every tensor below a prefix of `pairs` under its new prefix; every tensor must be taken once."""
    out = {}
    for key, value in state.items():
        fits = [(a, b) for a, b in pairs if key.startswith(a + ".")]
        assert len(fits) == 1, f"{key}: {fits}"
        a, b = fits[0]
        assert b + key[len(a):] not in out, key
        out[b + key[len(a):]] = value
    return out


def resnet_pairs(theirs, ldm):
    return [(f"{theirs}.{a}", f"{ldm}.{b}") for a, b in RESNET.items()]


def per_level(value, levels):
    return [value] * levels if isinstance(value, int) else list(value)


def down_pairs(config):
    pairs, block = [], 0
    levels = len(config["block_out_channels"])
    for level, layers in enumerate(per_level(config["layers_per_block"], levels)):
        for layer in range(layers):
            block += 1
            pairs += resnet_pairs(f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{block}.0")
            pairs.append((f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{block}.1"))
        if level + 1 < levels:
            block += 1
            pairs.append((f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{block}.0.op"))
    return pairs


def mid_pairs():
    return [*resnet_pairs("mid_block.resnets.0", "middle_block.0"),
            ("mid_block.attentions.0", "middle_block.1"),
            *resnet_pairs("mid_block.resnets.1", "middle_block.2")]


def up_pairs(config):
    pairs, block = [], 0
    levels = len(config["block_out_channels"])
    layers_of = per_level(config["layers_per_block"], levels)[::-1]
    for level, layers in enumerate(layers_of):
        attends = config["up_block_types"][level].startswith("CrossAttn")
        for layer in range(layers + 1):
            pairs += resnet_pairs(f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{block}.0")
            pairs.append((f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{block}.1"))
            if layer == layers and level + 1 < levels:
                module = 2 if attends else 1
                pairs.append((f"up_blocks.{level}.upsamplers.0.conv",
                              f"output_blocks.{block}.{module}.conv"))
            block += 1
    return pairs


def ldm_unet(state, config):
    pairs = [*OUTSIDE.items(), *down_pairs(config), *mid_pairs(), *up_pairs(config)]
    return moved(state, pairs)


def ldm_controlnet(state, config):
    skips = 1 + sum(n + 1 for n in per_level(config["layers_per_block"],
                                             len(config["block_out_channels"]))) - 1
    hint = "controlnet_cond_embedding"
    blocks = 2 * (len(config["conditioning_embedding_out_channels"]) - 1)
    pairs = [*OUTSIDE.items(), *down_pairs(config), *mid_pairs(),
             *((f"controlnet_down_blocks.{i}", f"zero_convs.{i}.0") for i in range(skips)),
             (hint + ".conv_in", "input_hint_block.0"),
             *((f"{hint}.blocks.{i}", f"input_hint_block.{2 * i + 2}") for i in range(blocks)),
             (hint + ".conv_out", f"input_hint_block.{2 * blocks + 2}")]
    return moved(state, pairs)


def ldm_vae(state, config):
    levels = len(config["block_out_channels"])
    inner = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2",
             "conv_shortcut": "nin_shortcut"}

    def resnet(theirs, ldm):
        return [(f"{theirs}.{a}", f"{ldm}.{b}") for a, b in inner.items()]

    pairs = [("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv")]
    for half, list_name, sampler in (("encoder", "down", "downsample"), ("decoder", "up", "upsample")):
        pairs += [(f"{half}.conv_in",) * 2, (f"{half}.conv_out",) * 2,
                  (f"{half}.conv_norm_out", f"{half}.norm_out")]
        for i in (0, 1):
            pairs += resnet(f"{half}.mid_block.resnets.{i}", f"{half}.mid.block_{i + 1}")
        for a, b in {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v",
                     "to_out.0": "proj_out"}.items():
            pairs.append((f"{half}.mid_block.attentions.0.{a}", f"{half}.mid.attn_1.{b}"))
        for level in range(levels):
            ldm_level = level if half == "encoder" else levels - 1 - level
            theirs, ldm = f"{half}.{list_name}_blocks.{level}", f"{half}.{list_name}.{ldm_level}"
            for layer in range(config["layers_per_block"] + (half == "decoder")):
                pairs += resnet(f"{theirs}.resnets.{layer}", f"{ldm}.block.{layer}")
            pairs.append((f"{theirs}.{sampler}rs.0.conv", f"{ldm}.{sampler}.conv"))
    out = moved(state, pairs)
    for key in out:  # the projections of the attention are convolutions there
        if ".attn_1." in key and key.endswith(".weight") and ".norm." not in key:
            out[key] = out[key][:, :, None, None]
    return out


LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
         "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def fused_layers(state, tower, layers):
    out = {}
    for i in range(layers):
        theirs, ldm = f"{tower}.encoder.layers.{i}", f"transformer.resblocks.{i}"
        for a, b in LAYER.items():
            for leaf in ("weight", "bias"):
                out[f"{ldm}.{b}.{leaf}"] = state[f"{theirs}.{a}.{leaf}"]
        for leaf in ("weight", "bias"):
            parts = [state[f"{theirs}.self_attn.{p}_proj.{leaf}"] for p in "qkv"]
            out[f"{ldm}.attn.in_proj_{leaf}"] = torch.cat(parts)
    return out


def openclip_text(state, layers):
    """`state` with "text_model." and, perhaps, "text_projection.weight"."""
    out = fused_layers(state, "text_model", layers)
    out["token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"]
    out["positional_embedding"] = state["text_model.embeddings.position_embedding.weight"]
    for leaf in ("weight", "bias"):
        out[f"ln_final.{leaf}"] = state[f"text_model.final_layer_norm.{leaf}"]
    if "text_projection.weight" in state:
        out["text_projection"] = state["text_projection.weight"].T
    out["logit_scale"] = torch.tensor(4.6052)
    return out


def openai_vision(state, layers):
    out = fused_layers(state, "vision_model", layers)
    out["class_embedding"] = state["vision_model.embeddings.class_embedding"]
    out["positional_embedding"] = state["vision_model.embeddings.position_embedding.weight"]
    out["conv1.weight"] = state["vision_model.embeddings.patch_embedding.weight"]
    for a, b in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        for leaf in ("weight", "bias"):
            out[f"{b}.{leaf}"] = state[f"vision_model.{a}.{leaf}"]
    out["proj"] = state["visual_projection.weight"].T
    return out


def below(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def same(got, want, what, ignore=()):
    got = {key: value for key, value in got.items() if key not in ignore}
    assert got.keys() == want.keys(), f"{what}: {sorted(got.keys() ^ want.keys())[:6]}"
    for key, value in want.items():
        assert torch.equal(got[key], value), f"{what}: {key} differs"


def check_unet(single, state, config, control=False):
    from diffusers.loaders import single_file_utils as reference
    if not control:
        return same(reference.convert_ldm_unet_checkpoint(dict(single), config), state, "UNet")
    # It knows no ControlNet of SDXL: label_emb is dropped.
    state = {key: value for key, value in state.items() if not key.startswith("add_embedding.")}
    return same(reference.convert_controlnet_checkpoint(dict(single), config), state, "ControlNet")


def check_vae(single, state, config):
    from diffusers.loaders import single_file_utils as reference
    same(reference.convert_ldm_vae_checkpoint(dict(single), config), state, "autoencoder")


def check_clip(single, state, prefix):
    from diffusers.loaders import single_file_utils as reference
    same(reference.convert_ldm_clip_checkpoint(dict(single), remove_prefix=prefix), state, "CLIP")


def check_openclip(single, state, prefix, config):
    from types import SimpleNamespace

    from diffusers.loaders import single_file_utils as reference
    got = reference.convert_open_clip_checkpoint(SimpleNamespace(config=config), dict(single), prefix)
    # Of Stable Diffusion 2's tower diffusers leaves out the 24th layer by its name.
    missing = {key for key in state if key not in got}
    assert not missing, sorted(missing)[:4]
    same(got, state, "OpenCLIP", ignore=set(got) - set(state))


NORM = re.compile(r"(norm\d?|norm_out|ln_\w+|(in|out)_layers\.0|\.out\.0)\.(weight|bias)$")


def mindspore_name(key):
    """MindSpore's name for a name of torch."""
    stem, _, leaf = key.rpartition(".")
    if stem.endswith(("token_embedding", "position_embedding")):
        return stem + ".embedding_table"
    return stem + {"weight": ".gamma", "bias": ".beta"}[leaf] if NORM.search(key) else key


def write_mindspore(path, state):
    ckpt.write_ckpt(path, ((mindspore_name(key), value.to(torch.float32)) for key, value in state.items()))
