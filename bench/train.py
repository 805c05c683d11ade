#!/usr/bin/env python3
"""Compares the training throughput of this program with diffusers + PyTorch: same network, same data, one run.

    bench/train.py PROGRAM CONFIG.toml [--set KEY=VALUE]... [--rounds 3] [--seconds 40] [--threads 2]

CONFIG is a denoiser's training file whose cache of latents and captions is there already (one run
of `pangu-draw train` makes it). Rounds alternate between the two, so that other load on the machine affects both. The
reference is the usual loop: UNet2DConditionModel, channels-last, bf16 autocast over f32 weights, torch's fused AdamW,
clipping, EMA by torch._foreach_lerp_, batches stacked in a loader thread. Where the processor does not multiply bf16,
both train in f32 (mixed_precision=no), which is faster there. Both sides train for real; the first steps of each round
are not counted. Prints samples/s of each round and the ratio of the medians.
"""
import argparse
import json
import pathlib
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

import records

WARM_UP_LINES = 2  # of metrics.jsonl
LOG_EVERY = 4      # steps


def parse_value(text):
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def ours(args, config, folder):
    out = pathlib.Path(folder) / "run"
    sets = [f"output_dir={out}", f"log_every_n_steps={LOG_EVERY}", "sample_every_n_steps=0",
            "save_every_minutes=600", "max_train_steps=1000000"]
    if not records.multiplies_bf16(records.processor_flags()):
        sets.append("mixed_precision=no")  # as the reference, and as the program advises
    sets += args.set
    command = [args.program, "train", args.config, "--fresh", "--quiet", "--threads", str(args.threads)]
    for item in sets:
        command += ["--set", item]
    process = subprocess.Popen(command)
    metrics = out / "metrics.jsonl"
    started = None
    try:
        while process.poll() is None:
            time.sleep(0.2)
            if started is None and metrics.exists() and metrics.read_text().count("\n") >= WARM_UP_LINES:
                started = time.monotonic()
            if started is not None and time.monotonic() - started > args.seconds:
                break
    finally:
        lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
        process.kill()
        process.wait()
    if len(lines) < WARM_UP_LINES + 2:
        sys.exit(f"bench/train.py: expected metrics of several steps, found {len(lines)} lines")
    first, last = lines[WARM_UP_LINES - 1], lines[-1]
    steps = last["step"] - first["step"]
    return steps * config["train_batch_size"] / (last["seconds"] - first["seconds"])


def theirs(args, config):
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    caches = sorted({path.parent for path in pathlib.Path(config["cache_dir"]).glob("*/latents*.safetensors")})
    if len(caches) != 1:
        sys.exit(f"bench/train.py: expected one cache in {config['cache_dir']}, found {len(caches)}")
    latents, captions = ([x for path in sorted(caches[0].glob(f"{name}*.safetensors")) for x in load_file(path).values()]
                         for name in ("latents", "captions"))
    crop, batch = config.get("latent_crop", 0), config["train_batch_size"]
    shape = torch.Size(latents[0].shape[:1]) + torch.Size([config["resolution"] // 16] * 2)
    latents = [x for x in latents if x.shape == shape]
    if not latents:
        sys.exit(f"bench/train.py: expected cached latents of shape {tuple(shape)}, found none")
    net = json.loads(pathlib.Path(config["network_config"]).read_text())
    unet = UNet2DConditionModel.from_config(net).to(memory_format=torch.channels_last).train()
    parameters = list(unet.parameters())
    averages = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=config["learning_rate"], fused=True)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0).float()
    autocast = records.multiplies_bf16(records.processor_flags())
    low, high = config.get("min_timestep", 0), config.get("max_timestep", 1000)

    def make_batch():
        x = torch.stack([latents[i] for i in torch.randint(len(latents), (batch,))]).float()
        if crop:
            y0, x0 = torch.randint(x.shape[2] - crop + 1, (2,)).tolist()
            x = x[:, :, y0:y0 + crop, x0:x0 + crop]
        words = [captions[i] for i in torch.randint(len(captions), (batch,))]
        length = max(len(w) for w in words)
        context = torch.zeros(batch, length, words[0].shape[1])
        mask = torch.zeros(batch, length, dtype=torch.bool)
        for row, w in enumerate(words):
            context[row, :len(w)], mask[row, :len(w)] = w.float(), True
        return x, context, mask

    batches, stop = queue.Queue(4), threading.Event()

    def load():
        while not stop.is_set():
            item = make_batch()
            while not stop.is_set():
                try:
                    batches.put(item, timeout=0.2)
                    break
                except queue.Full:
                    pass

    loader = threading.Thread(target=load, daemon=True)
    loader.start()

    def step():
        x, context, mask = batches.get()
        t = torch.randint(low, high, (batch,))
        a = alphas[t].view(-1, 1, 1, 1)
        noise = torch.randn_like(x)
        noisy = (a.sqrt() * x + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        target = a.sqrt() * noise - (1 - a).sqrt() * x
        # models/mini's networks read the mean of the words beside them.
        mean = (context * mask[..., None]).sum(1) / mask.sum(1, keepdim=True) if net.get("class_embed_type") else None
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = unet(noisy, t, context, class_labels=mean, encoder_attention_mask=mask).sample
        loss = (out.float() - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        torch._foreach_lerp_(averages, [p.detach() for p in parameters], 0.001)

    for _ in range(WARM_UP_LINES * LOG_EVERY):
        step()
    started, steps = time.monotonic(), 0
    while time.monotonic() - started < args.seconds:
        step()
        steps += 1
    rate = steps * batch / (time.monotonic() - started)
    stop.set()
    loader.join()
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--yardstick", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    config = tomllib.loads(pathlib.Path(args.config).read_text())
    for key in ("cache_dir", "network_config"):  # paths in the file are taken from its folder
        config[key] = str(pathlib.Path(args.config).parent / config[key])
    for item in args.set:
        key, _, value = item.partition("=")
        config[key] = parse_value(value)
    if args.yardstick:
        print(theirs(args, config))
        return
    rates = {"pangu-draw": [], "diffusers": []}
    kind = "bf16 autocast" if records.multiplies_bf16(records.processor_flags()) else "f32"
    print(f"{args.threads} threads, {kind}", flush=True)
    for round_number in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rates["pangu-draw"].append(ours(args, config, folder))
        child = subprocess.run([sys.executable, *sys.argv, "--yardstick"], check=True,
                               stdout=subprocess.PIPE, text=True)
        rates["diffusers"].append(float(child.stdout))
        print(f"round {round_number + 1}: pangu-draw {rates['pangu-draw'][-1]:.1f}, "
              f"diffusers {rates['diffusers'][-1]:.1f} samples/s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"medians: pangu-draw {medians['pangu-draw']:.1f}, diffusers {medians['diffusers']:.1f} samples/s; "
          f"ratio {medians['pangu-draw'] / medians['diffusers']:.2f}")


if __name__ == "__main__":
    main()
