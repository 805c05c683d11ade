"""Dumps what diffusers' ControlNetModel computes, layer by layer, for tests/parity/controlnet_test.cpp.

  dump_controlnet.py OUT_DIR

For every case: OUT_DIR/NAME/{config.json, weights.safetensors, tensors.safetensors}. Random weights of fixed seeds, tiny
widths, the topology of the model that the case is named after.
"""
import os
import re
import sys

import torch
from diffusers import ControlNetModel
from safetensors.torch import save_file

from dump_unet import SD15, SD21, SDXL, TRACED, inputs_of, randomise_norms
from watched import watch

CONTROL_TRACED = re.compile(TRACED.pattern + r"|^(controlnet_cond_embedding|controlnet_mid_block"
                                             r"|controlnet_down_blocks\.\d+)$")
UPWARD = ("sample_size", "out_channels", "up_block_types", "mid_block_type")


def control_of(unet, **more):
    downward = {key: value for key, value in unet.items() if key not in UPWARD}
    return dict(downward, conditioning_embedding_out_channels=[16, 32, 48, 64], **more)


# name -> (configuration, latent height, latent width, arguments of the call)
CONTROLNETS = {
    "sd15": (control_of(SD15), 16, 8, {}),
    "sd15_odd_size_scaled": (control_of(SD15), 17, 11, {"conditioning_scale": 0.7}),
    "sd15_guess_mode": (control_of(SD15), 8, 8, {"guess_mode": True, "conditioning_scale": 1.5}),
    "sd15_bgr_pooled": (
        control_of(SD15, controlnet_conditioning_channel_order="bgr", global_pool_conditions=True), 8, 16,
        {"guess_mode": True},
    ),
    "sd21": (control_of(SD21), 8, 8, {}),
    "sdxl": (control_of(SDXL), 8, 8, {}),
    "two_levels_five_channels": (
        dict(control_of(SD15, conditioning_channels=5), down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
             block_out_channels=[32, 64], layers_per_block=1, conditioning_embedding_out_channels=[8, 16]),
        8, 6, {},
    ),
}

def save(folder, model, tensors):
    os.makedirs(folder, exist_ok=True)
    model.save_config(folder)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, os.path.join(folder, "weights.safetensors"))
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()},
              os.path.join(folder, "tensors.safetensors"))


def dump_controlnet(folder, config, height, width, call, generator):
    model = ControlNetModel.from_config(dict(config)).eval()
    randomise_norms(model, generator)
    for name, parameter in model.named_parameters():
        if not parameter.any():  # zero convolutions
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    tensors = watch(model, lambda name: f"layer/{name}" if CONTROL_TRACED.match(name) else None)
    found = inputs_of(config, height, width, {}, generator)
    factor = 2 ** (len(config["conditioning_embedding_out_channels"]) - 1)
    channels = config.get("conditioning_channels", 3)
    picture = torch.rand(2, channels, factor * height, factor * width, generator=generator)
    added = {k: found[k] for k in ("text_embeds", "time_ids") if k in found}
    down, mid = model(found["sample"], found["t_index"], found["context"], picture, return_dict=False,
                      added_cond_kwargs=added or None, **call)
    for index, residual in enumerate(down):
        tensors[f"out/down/{index:02d}"] = residual
    tensors["out/mid"] = mid
    tensors["in/picture"] = picture
    tensors["in/scale"] = torch.tensor([call.get("conditioning_scale", 1.0)])
    tensors["in/guess"] = torch.tensor([1.0 if call.get("guess_mode") else 0.0])
    tensors.update({f"in/{key}": value for key, value in found.items()})
    save(folder, model, tensors)


@torch.no_grad()
def main():
    folder = sys.argv[1]
    for seed, (name, (config, height, width, call)) in enumerate(CONTROLNETS.items()):
        torch.manual_seed(seed)
        dump_controlnet(os.path.join(folder, name), config, height, width, call,
                        torch.Generator().manual_seed(seed))


if __name__ == "__main__":
    main()
