"""Makes LoRA files in every naming and textual inversions, for the parity tests of checkpoints.

The names are written here from the rules of their trainers (kohya's '_' for '.', its blocks of LDM
for SDXL, PEFT's lora_A and lora_B); those of kohya are checked by diffusers' own converter. Every
LoRA comes with "expected": its changes as COMPONENT/MODULE/{down,up,mid,alpha}.
"""

import json
import re

import checkpoint_models as models
import ldm_inverse as ldm
import torch
from safetensors.torch import save_file

ATTENTION = "down_blocks.1.attentions.0"
LINEAR = [f"{ATTENTION}.transformer_blocks.0.attn1.to_q", f"{ATTENTION}.transformer_blocks.0.attn2.to_k",
          f"{ATTENTION}.transformer_blocks.0.attn2.to_out.0", f"{ATTENTION}.transformer_blocks.0.ff.net.0.proj",
          "mid_block.attentions.0.transformer_blocks.0.attn1.to_v",
          "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_v"]
PROJECTIONS = [f"{ATTENTION}.proj_in", "up_blocks.1.attentions.2.proj_out"]
CONVOLUTIONS = ["down_blocks.1.resnets.0.conv1", "up_blocks.1.resnets.2.conv_shortcut",
                "down_blocks.0.downsamplers.0.conv"]
TEXT = ["text_model.encoder.layers.0.self_attn.q_proj", "text_model.encoder.layers.1.mlp.fc1"]


def bases(family):
    """Returns component -> (state, configuration) of the model that the LoRA is for."""
    if family == "sd1":
        found = {"unet": models.unet(models.SD1, 1), "text_encoder": models.text(models.CLIP, 3, False)}
    else:
        found = {"unet": models.unet(models.SDXL, 21), "text_encoder": models.text(models.CLIP, 24, False),
                 "text_encoder_2": models.text(models.OPENCLIP, 25, True)}
    return {name: (models.state_of(model), model.config) for name, model in found.items()}


def changes(base, modules, rank, with_alpha, tucker=()):
    """Returns (component, module) -> {"down", "up", perhaps "mid" and "alpha"}."""
    generator = torch.Generator().manual_seed(61)
    found = {}
    for component, names in modules.items():
        state = base[component][0]
        for module in names:
            shape = state[module + ".weight"].shape
            kernel = tuple(shape[2:])
            one = {"down": torch.randn((rank, shape[1], *kernel), generator=generator) * 0.1,
                   "up": torch.randn((shape[0], rank, *([1] * len(kernel))), generator=generator) * 0.1}
            if module in tucker:
                one["down"] = one["down"].mean(dim=(2, 3), keepdim=True)
                one["mid"] = torch.randn((rank, rank, *kernel), generator=generator) * 0.3
            if with_alpha:
                one["alpha"] = torch.tensor(rank / 2.0)
            found[component, module] = one
    return found


def save_expected(path, found, alpha_of=None):
    out = {}
    for (component, module), one in found.items():
        for what, value in one.items():
            out[f"{component}/{module}/{what}"] = value
        if "alpha" not in one:
            alpha = alpha_of or float(one["down"].shape[0])
            out[f"{component}/{module}/alpha"] = torch.tensor(alpha)
    save_file({key: value.contiguous() for key, value in out.items()}, path)


def written(out, tensors, found, alpha_of=None, metadata=None):
    single, expected = out / "single.safetensors", out / "expected.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, single, metadata=metadata)
    save_expected(expected, found, alpha_of)
    return {"single": single, "expected": expected}


def ldm_module(module, config):
    """LDM's name of a UNet's module, by the inverse mapping of its one weight."""
    pairs = [*ldm.OUTSIDE.items(), *ldm.down_pairs(config), *ldm.mid_pairs(), *ldm.up_pairs(config)]
    (key,) = ldm.moved({module + ".weight": 0}, pairs)
    return key.removesuffix(".weight")


def kohya(out, family, ldm_blocks=False, rank=4, tucker=()):
    base = bases(family)
    modules = {"unet": LINEAR + PROJECTIONS + CONVOLUTIONS, "text_encoder": TEXT}
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_"}
    if family == "sdxl":
        modules["text_encoder_2"] = TEXT
        prefixes.update(text_encoder="lora_te1_", text_encoder_2="lora_te2_")
    found = changes(base, modules, rank, with_alpha=True, tucker=tucker)
    tensors = {}
    for (component, module), one in found.items():
        named = ldm_module(module, base["unet"][1]) if ldm_blocks and component == "unet" else module
        prefix = prefixes[component] + named.replace(".", "_")
        for what, value in one.items():
            tensors[prefix + (".alpha" if what == "alpha" else f".lora_{what}.weight")] = value
    if not tucker:
        check_kohya(tensors, found, base["unet"][1])
    return written(out, tensors, found, metadata={"ss_network_module": "networks.lora"})


def check_kohya(tensors, found, config):
    """Checks that diffusers' converter finds the same modules."""
    from diffusers.loaders import lora_conversion_utils as reference
    state = {key: value.clone() for key, value in tensors.items()}
    if any("input_blocks" in key for key in state):
        state = reference._maybe_map_sgm_blocks_to_diffusers(state, config)
    converted, _ = reference._convert_non_diffusers_lora_to_diffusers(state)
    understood = set()
    for key in converted:
        match = re.fullmatch(r"(.+?)[._]lora(?:_linear_layer)?\.down\.weight", key)
        if match:  # in its first naming: "processor", and q_proj of a text encoder called to_q
            module = re.sub(r"\.to_out$", ".to_out.0", match[1].replace(".processor.", "."))
            understood.add(re.sub(r"self_attn\.to_(\w)$", r"self_attn.\1_proj", module))
    wanted = {f"{component}.{module}" for component, module in found}
    assert understood == wanted, sorted(understood ^ wanted)[:6]


def diffusers_naming(out, old=False):
    """Names of diffusers: today PEFT's endings below the component, formerly a ".lora." in each module."""
    base = bases("sdxl")
    found = changes(base, {"unet": LINEAR + CONVOLUTIONS, "text_encoder": TEXT, "text_encoder_2": TEXT},
                    8, with_alpha=False)
    ends = {"down": "lora.down", "up": "lora.up"} if old else {"down": "lora_A", "up": "lora_B"}
    tensors = {f"{component}.{module}.{ends[what]}.weight": value
               for (component, module), one in found.items() for what, value in one.items()}
    if old:
        return written(out, tensors, found)
    settings = {f"{component}.{key}": value for component in ("unet", "text_encoder", "text_encoder_2")
                for key, value in (("lora_alpha", 2.0), ("r", 8), ("use_dora", False))}
    return written(out, tensors, found, alpha_of=2.0,
                   metadata={"format": "pt", "lora_adapter_metadata": json.dumps(settings)})


def first_diffusers(out):
    """The first naming of diffusers: all four projections of an attention are in its "processor"."""
    base = bases("sd1")
    block = f"{ATTENTION}.transformer_blocks.0"
    modules = [f"{block}.attn{i}.{part}" for i in (1, 2) for part in ("to_q", "to_k", "to_v", "to_out.0")]
    found = changes(base, {"unet": modules}, 4, with_alpha=False)
    tensors = {}
    for (component, module), one in found.items():
        attention, part = re.fullmatch(r"(.+\.attn\d)\.(to_q|to_k|to_v|to_out)(?:\.0)?", module).groups()
        for what, value in one.items():
            tensors[f"{component}.{attention}.processor.{part}_lora.{what}.weight"] = value
    return written(out, tensors, found)


def peft(out):
    base = bases("sd1")
    found = changes(base, {"unet": LINEAR + CONVOLUTIONS}, 16, with_alpha=False)
    ends = {"down": "lora_A", "up": "lora_B"}
    tensors = {f"base_model.model.{module}.{ends[what]}.weight": value
               for (_, module), one in found.items() for what, value in one.items()}
    return written(out, tensors, found)


def embedding(out, kind):
    generator = torch.Generator().manual_seed(71)
    narrow, wide = (torch.randn((3, width), generator=generator) for width in (64, 128))
    tensors = {"a1111": {"emb_params": narrow}, "sdxl": {"clip_l": narrow, "clip_g": wide},
               "diffusers": {"<cat-toy>": narrow}}[kind]
    expected = {"text_encoder": narrow, **({"text_encoder_2": wide} if kind == "sdxl" else {})}
    save_file(tensors, out / "single.safetensors")
    save_file(expected, out / "expected.safetensors")
    return {"single": out / "single.safetensors", "expected": out / "expected.safetensors"}


def merged(pipeline, expected, weight):
    """Adds a LoRA's changes to the weights of a pipeline of diffusers, in place."""
    from safetensors.torch import load_file
    tensors = load_file(expected)
    for key in [key for key in tensors if key.endswith("/down")]:
        component, module, _ = key.split("/")
        down, up = tensors[key], tensors[f"{component}/{module}/up"]
        alpha = tensors[f"{component}/{module}/alpha"].item()
        mid = tensors.get(f"{component}/{module}/mid")
        if mid is None:
            delta = (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])
        else:
            delta = torch.einsum("or,rshw,si->oihw", up[:, :, 0, 0], mid, down[:, :, 0, 0])
        network = getattr(pipeline, component)
        if component.startswith("text_encoder") and not hasattr(network, "text_model"):
            module = module.removeprefix("text_model.")
        target = network.get_submodule(module).weight
        with torch.no_grad():
            target += (weight * alpha / down.shape[0] * delta).reshape(target.shape).to(target.dtype)
    return pipeline


CASES = {
    "lora_kohya_sd1": lambda out: kohya(out, "sd1"),
    "lora_kohya_sd1_tucker": lambda out: kohya(out, "sd1", tucker=CONVOLUTIONS[:1]),
    "lora_kohya_sdxl": lambda out: kohya(out, "sdxl"),
    "lora_kohya_sdxl_ldm": lambda out: kohya(out, "sdxl", ldm_blocks=True),
    "lora_diffusers_sdxl": diffusers_naming,
    "lora_diffusers_old_sdxl": lambda out: diffusers_naming(out, old=True),
    "lora_diffusers_first_sd1": first_diffusers,
    "lora_peft_sd1": peft,
    "embedding_a1111": lambda out: embedding(out, "a1111"),
    "embedding_sdxl": lambda out: embedding(out, "sdxl"),
    "embedding_diffusers": lambda out: embedding(out, "diffusers"),
}
