"""The reference for bench_unet_train: forward and backward of the same UNet configuration with diffusers + PyTorch.

  unet_train_diffusers.py UNET.json [--size 16] [--batch 64] [--tokens 32] [--dtype bf16|f32] [--layout cl|plain]
                          [--threads 2] [--seconds 8]
bf16 means autocast over f32 weights, the usual way to train with diffusers.
"""
import argparse
import contextlib
import json
import time

import torch
from diffusers import UNet2DConditionModel


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("config")
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--layout", choices=["cl", "plain"], default="cl")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    with open(o.config) as file:
        config = json.load(file)
    layout = torch.channels_last if o.layout == "cl" else torch.contiguous_format
    unet = UNet2DConditionModel.from_config(config).to(memory_format=layout).train()
    x = torch.randn(o.batch, config["in_channels"], o.size, o.size).to(memory_format=layout)
    t = torch.rand(o.batch) * 1000
    context = torch.randn(o.batch, o.tokens, config["cross_attention_dim"])
    mask = torch.ones(o.batch, o.tokens, dtype=torch.bool)
    mask[:, o.tokens // 2 :] = False
    cast = torch.autocast("cpu", torch.bfloat16) if o.dtype == "bf16" else contextlib.nullcontext()

    def step():
        unet.zero_grad(set_to_none=True)
        with cast:
            loss = unet(x, t, context, encoder_attention_mask=mask).sample.float().square().mean()
        loss.backward()

    step()
    step()
    wall, cpu, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < o.seconds:
        step()
        steps += 1
    samples = steps * o.batch
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    parameters = sum(p.numel() for p in unet.parameters()) * 1e-6
    print(
        f"diffusers {o.config} {o.dtype} {o.layout} {o.size}x{o.size} batch {o.batch} tokens {o.tokens} threads "
        f"{o.threads}: {parameters:.2f} M parameters, {samples / wall:.1f} samples/s, "
        f"{samples / cpu * o.threads:.1f} samples/s by processor time"
    )


if __name__ == "__main__":
    main()
