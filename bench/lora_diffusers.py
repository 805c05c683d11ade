"""The usual training of a LoRA, for bench/lora.py --peers: diffusers' UNet in bf16 or f32, peft's LoRA in f32, torch's AdamW, one
picture a step, latents and text states of this program's cache in memory. A process that takes steps when it is asked by a
line of JSON (the protocol is bench/peers/child.py's):
  {"do": "steps", "count": N} -> {"seconds": [S, ...]}, of each step
  {"do": "quit"}

    lora_diffusers.py MODEL CACHE [--rank 16] [--threads 2] [--precision bf16] [--no-checkpointing]

MODEL is a folder of diffusers, of Stable Diffusion 1.x or SDXL.
"""
import argparse
import pathlib
import sys
import time

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "peers"))
from serve import Wire  # noqa: E402

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
POOLED = ", pooled"  # the end of the name of a caption's pooled state in the cache


def cached(folder, name):
    return {key: tensor for path in sorted(folder.glob(f"*/{name}*.safetensors")) for key, tensor in load_file(path).items()}


class Loop:
    def __init__(self, options):
        torch.set_num_threads(options.threads)
        torch.manual_seed(0)
        self.in_bf16 = options.precision == "bf16"
        self.dtype = torch.bfloat16 if self.in_bf16 else torch.float32
        self.unet = UNet2DConditionModel.from_pretrained(options.model, subfolder="unet", torch_dtype=self.dtype)
        self.unet.to(memory_format=torch.channels_last).requires_grad_(False)
        self.unet.add_adapter(LoraConfig(r=options.rank, lora_alpha=options.rank, target_modules=TARGETS))
        if not options.no_checkpointing:
            self.unet.enable_gradient_checkpointing()
        self.unet.train()
        self.parameters = [p for p in self.unet.parameters() if p.requires_grad]
        for p in self.parameters:
            p.data = p.data.float()
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        self.scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        self.latents, captions = list(cached(options.cache, "latents").values()), cached(options.cache, "captions")
        self.states = [(value, captions.get(key + POOLED)) for key, value in captions.items() if value.dim() == 2]
        self.taken = 0

    def conditions(self):
        state, pooled = self.states[self.taken % len(self.states)]
        told = {"encoder_hidden_states": state[None].to(self.dtype)}
        if self.unet.config.addition_embed_type:
            told["added_cond_kwargs"] = {"text_embeds": pooled[None].to(self.dtype), "time_ids": torch.zeros(1, 6)}
        return told

    def step(self):
        x0 = self.latents[self.taken % len(self.latents)][None].float()
        noise, t = torch.randn_like(x0), torch.randint(0, 1000, (1,))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_bf16):
            predicted = self.unet(self.scheduler.add_noise(x0, noise, t), t, **self.conditions()).sample
        torch.nn.functional.mse_loss(predicted.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.taken += 1

    def timed_steps(self, count):
        seconds = []
        for _ in range(count):
            begun = time.monotonic()
            self.step()
            seconds.append(time.monotonic() - begun)
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("bf16", "no"), default="bf16")
    parser.add_argument("--no-checkpointing", action="store_true")
    options = parser.parse_args()
    wire = Wire()
    loop = Loop(options)
    wire.say(ready=True)
    while (asked := wire.hear())["do"] == "steps":
        wire.say(seconds=loop.timed_steps(asked["count"]))


if __name__ == "__main__":
    main()
