"""Dumps what a UNet of diffusers and a CLIP text model of transformers compute with LoRAs beside them, for
tests/parity/lora_test.cpp.

  dump_lora.py OUT_DIR

The low-rank branch is run as layers beside the module (down, then up, or down, mid, up for the Tucker form), never
merged: that is what the change is defined as. For each of unet and text: OUT_DIR/NAME/{config.json,
weights.safetensors, tensors.safetensors}, the LoRA in tensors.safetensors as "lora/SET/MODULE/{down,up,mid,alpha}".
"""
import json
import os
import sys

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from dump_unet import SD15, inputs_of, randomise_norms

CONFIG = dict(SD15, block_out_channels=[32, 64], down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
              up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"], layers_per_block=1)
BLOCK = "down_blocks.0.attentions.0"
# Linear, 1x1 as matrix and as convolution, 3x3, 3x3 with stride, the Tucker form; one of them in both sets.
FIRST = [f"{BLOCK}.transformer_blocks.0.attn1.to_q", f"{BLOCK}.transformer_blocks.0.attn2.to_k",
         f"{BLOCK}.transformer_blocks.0.ff.net.0.proj", f"{BLOCK}.proj_in", f"{BLOCK}.proj_out",
         "down_blocks.0.resnets.0.conv1", "down_blocks.0.downsamplers.0.conv", "time_embedding.linear_1",
         "up_blocks.0.resnets.1.conv_shortcut"]
SECOND = [f"{BLOCK}.transformer_blocks.0.attn1.to_q", "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
          "up_blocks.1.resnets.0.conv2", "mid_block.resnets.0.conv2", "conv_in"]
TUCKER = {"up_blocks.1.resnets.0.conv2", "mid_block.resnets.0.conv2", "down_blocks.0.downsamplers.0.conv"}
TEXT = [f"text_model.encoder.layers.{layer}.{part}" for layer in (0, 1)
        for part in ("self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")]
SCALES = {"first": 0.8, "second": -1.3}


class Branch:
    def __init__(self, name, module, rank, alpha, generator):
        def randn(*shape):
            return 0.3 * torch.randn(shape, generator=generator)

        self.module, self.alpha, self.rank, self.mid = module, alpha, rank, None
        weight = module.weight
        if weight.dim() == 2:
            self.down, self.up = randn(rank, weight.shape[1]), randn(weight.shape[0], rank)
        elif name in TUCKER:
            self.down, self.up = randn(rank, weight.shape[1], 1, 1), randn(weight.shape[0], rank, 1, 1)
            self.mid = randn(rank, rank, *weight.shape[2:])
        else:
            self.down, self.up = randn(rank, weight.shape[1], *weight.shape[2:]), randn(weight.shape[0], rank, 1, 1)

    def __call__(self, x):
        if self.module.weight.dim() == 2:
            return F.linear(F.linear(x, self.down), self.up) * (self.alpha / self.rank)
        where = dict(stride=self.module.stride, padding=self.module.padding)
        if self.mid is None:
            x = F.conv2d(x, self.down, **where)
        else:
            x = F.conv2d(F.conv2d(x, self.down), self.mid, **where)
        return F.conv2d(x, self.up) * (self.alpha / self.rank)

    def tensors(self):
        found = {"down": self.down, "up": self.up, "alpha": torch.tensor([float(self.alpha)])}
        return found if self.mid is None else dict(found, mid=self.mid)


def attach(model, sets, generator):
    tensors = {}
    for number, (which, names) in enumerate(sets.items()):
        for index, name in enumerate(names):
            module = model.get_submodule(name)
            branch = Branch(name, module, rank=2 + index % 3, alpha=1.0 + 0.5 * (index + number), generator=generator)

            def add(_module, arguments, output, branch=branch, scale=SCALES[which]):
                return output + scale * branch(arguments[0])

            module.register_forward_hook(add)
            tensors.update({f"lora/{which}/{name}/{part}": value for part, value in branch.tensors().items()})
    return tensors


def save(folder, model, tensors):
    os.makedirs(folder, exist_ok=True)
    config = model.config if isinstance(model.config, dict) else model.config.to_dict()
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(dict(config), file)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, os.path.join(folder, "weights.safetensors"))
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()},
              os.path.join(folder, "tensors.safetensors"))


@torch.no_grad()
def main():
    folder = sys.argv[1]
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)

    unet = UNet2DConditionModel.from_config(dict(CONFIG)).eval()
    randomise_norms(unet, generator)
    found = inputs_of(CONFIG, 8, 8, {}, generator)
    call = (found["sample"], found["t_index"], found["context"])
    tensors = {"out/base": unet(*call).sample}
    tensors.update(attach(unet, {"first": FIRST, "second": SECOND}, generator))
    tensors["out/changed"] = unet(*call).sample
    tensors.update({f"in/{key}": value for key, value in found.items()})
    save(os.path.join(folder, "unet"), unet, tensors)

    config = CLIPTextConfig(vocab_size=100, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
                            num_attention_heads=2, projection_dim=64, eos_token_id=99, bos_token_id=98, pad_token_id=0,
                            architectures=["CLIPTextModelWithProjection"])
    text = CLIPTextModelWithProjection(config).eval()
    randomise_norms(text, generator)
    ids = torch.randint(1, 98, (2, 77), generator=generator)
    ids[0, 9:], ids[1, 76] = 99, 99
    tensors = {"in/ids": ids, "out/base": text(ids).last_hidden_state}
    tensors.update(attach(text, {"first": TEXT}, generator))
    changed = text(ids)
    tensors["out/changed"] = changed.last_hidden_state
    tensors["out/embeds"] = changed.text_embeds
    save(os.path.join(folder, "text"), text, tensors)


if __name__ == "__main__":
    main()
