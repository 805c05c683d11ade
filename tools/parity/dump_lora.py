"""Dumps what a UNet of diffusers and a CLIP text model of transformers compute with LoRAs, for
tests/parity/lora_test.cpp.

  dump_lora.py OUT_DIR

The low-rank branch runs as layers in parallel to the module (down, then up, or down, mid, up for the Tucker form) and
is never merged, which is the definition of the change. For each of unet and text: OUT_DIR/NAME/{config.json,
weights.safetensors, tensors.safetensors}, the LoRA in tensors.safetensors as "lora/SET/MODULE/{down,up,mid,alpha}".

OUT_DIR/forms.safetensors: changes of other forms by their formulas, in f64, at weight 0.7. LoHa and LoKr: Yeh et al.
2023 (LyCORIS), section 3; DoRA: Liu et al. 2024, equation 5, a part of the way where the weight is not 1, as web UIs do.
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


def tucker(t, a, b):
    """sum over r, s of t[r,s,y,x] a[r,o] b[s,i]"""
    return torch.einsum("rsyx,ro,si->oiyx", t, a, b)


def kronecker(w1, w2):
    return torch.einsum("ab,cd...->acbd...", w1, w2).reshape(w1.shape[0] * w2.shape[0], w1.shape[1] * w2.shape[1],
                                                             *w2.shape[2:])


def with_norms(weight, norms, axis):
    others = [i for i in range(weight.dim()) if i != axis]
    return weight * (norms / torch.linalg.vector_norm(weight, dim=others, keepdim=True))


def forms(generator):
    """Every form of a change of a matrix and of a kernel: {"lora/SET/MODULE/PART", "out/SET/MODULE/weight"}."""
    def randn(*shape):
        return 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)

    base = {"linear": randn(12, 8), "conv": randn(12, 8, 3, 3)}
    found = {f"{name}/weight": value for name, value in base.items()}
    found.update({f"{name}/bias": randn(12) for name in base})
    rank, alpha = 3, 2.0

    def add(name, module, parts, change, norms=None, axis=None):
        weight = base[module]
        after = weight + change.reshape(weight.shape)
        if norms is not None:
            after = with_norms(after, norms, axis)
            parts = dict(parts, **{"columns" if axis else "rows": norms})
        found[f"out/{name}/{module}/weight"] = weight + 0.7 * (after - weight)
        found.update({f"lora/{name}/{module}/{part}": value for part, value in parts.items()})

    for module, weight in base.items():
        kernel = weight.shape[2:]
        scale = {"alpha": torch.tensor([alpha], dtype=torch.float64)}
        down, up = randn(rank, 8, *kernel), randn(12, rank, *([1] * len(kernel)))
        low = alpha / rank * (up.flatten(1) @ down.flatten(1))
        axes = [1] * len(kernel)
        add("dora", module, {"down": down, "up": up, **scale}, low, randn(12, 1, *axes).abs() + 1, 0)
        add("dora_columns", module, {"down": down, "up": up, **scale}, low, randn(1, 8, *axes).abs() + 1, 1)
        w1a, w1b, w2a, w2b = randn(12, rank), randn(rank, weight[0].numel()), randn(12, rank), \
            randn(rank, weight[0].numel())
        add("loha", module, {"w1_a": w1a, "w1_b": w1b, "w2_a": w2a, "w2_b": w2b, **scale},
            alpha / rank * (w1a @ w1b) * (w2a @ w2b))
        w1, w2 = randn(4, 2), randn(3, 4, *kernel)
        add("lokr_whole", module, {"w1": w1, "w2": w2, **scale}, kronecker(w1, w2))
        w1a, w1b, w2a, w2b = randn(4, rank), randn(rank, 2), randn(3, rank), randn(rank, w2[0].numel())
        product = alpha / rank * kronecker(w1a @ w1b, (w2a @ w2b).reshape(w2.shape))
        parts = {"w1_a": w1a, "w1_b": w1b, "w2_a": w2a, "w2_b": w2b, **scale}
        add("lokr", module, parts, product)
        add("lokr_dora", module, parts, product, randn(12, 1, *axes).abs() + 1, 0)
        difference, bias = randn(*weight.shape), randn(12)
        add("differences", module, {"diff": difference, "diff_b": bias}, difference)
        found[f"out/differences/{module}/bias"] = found[f"{module}/bias"] + 0.7 * bias
    t1, t2 = randn(rank, rank, 3, 3), randn(rank, rank, 3, 3)
    one, two = (randn(rank, 12), randn(rank, 8)), (randn(rank, 12), randn(rank, 8))
    add("loha_tucker", "conv", {"t1": t1, "w1_a": one[0], "w1_b": one[1], "t2": t2, "w2_a": two[0], "w2_b": two[1],
                                **scale}, alpha / rank * tucker(t1, *one) * tucker(t2, *two))
    w1, w2a, w2b = randn(4, 2), randn(rank, 3), randn(rank, 4)
    add("lokr_tucker", "conv", {"w1": w1, "t2": t2, "w2_a": w2a, "w2_b": w2b, **scale},
        alpha / rank * kronecker(w1, tucker(t2, w2a, w2b)))
    return {name: value.float().contiguous().clone() for name, value in found.items()}


@torch.no_grad()
def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    save_file(forms(torch.Generator().manual_seed(3)), os.path.join(folder, "forms.safetensors"))
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
