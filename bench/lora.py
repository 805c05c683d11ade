#!/usr/bin/env python3
"""Trains a LoRA of a model at its real size with random weights, and prints the time of a step and the most memory.

    bench/lora.py PROGRAM MODEL [--resolution 512] [--rank 16] [--steps 6] [--rounds 1] [--threads 2] [--peers] [--most-gib 4]

MODEL is a file of `bench/full_size_weights.py sd15 FOLDER`, or any other that `train --lora` takes. Twenty pictures are
made; their latents and text states are cached by a first run that is not counted. Memory is VmHWM of the process that
trains, the pages of mapped weights among them. With --peers the usual loop trains in turns with the program: diffusers'
UNet in bf16, peft's LoRA in f32, activation checkpointing, torch's AdamW, one picture a step, states in memory. It
needs a folder of SD 1.x in diffusers' layout (`bench/peers/weights.py sd15 FOLDER`), diffusers and peft. Above --most-gib
the bench fails.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

PICTURES = 20
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
WARM_UP = 2  # steps


def write_pictures(folder, side):
    """Smooth pictures with a caption each."""
    from PIL import Image
    numbers = random.Random(1)
    folder.mkdir()
    for i in range(PICTURES):
        corners = Image.new("RGB", (4, 4))
        corners.putdata([tuple(numbers.randrange(256) for _ in range(3)) for _ in range(16)])
        corners.resize((side, side), Image.BICUBIC).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"a picture of thing number {i}")


def high_water_gib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 2**20
    return 0.0


def ours(args, folder, steps, tag):
    """Seconds a step behind the warm-up, and GiB at most."""
    out = folder / f"{tag}.safetensors"
    command = [args.program, "train", "--lora", "--model", args.model, "--data", folder / "pictures", "--out", out,
               "--steps", steps, "--rank", args.rank, "--threads", args.threads, "--fresh", "-q", "--set", f"resolution={args.resolution}",
               "--set", "enable_bucket=false", "--set", "log_every_n_steps=1", "--set", "save_every_minutes=600",
               "--set", f'cache_dir="{folder / "cache"}"']
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        try:
            peak = max(peak, high_water_gib(process.pid))
        except OSError:
            pass
        time.sleep(0.1)
    if process.returncode != 0:
        sys.exit("bench/lora.py: the training failed")
    lines = [json.loads(line) for line in (out.with_suffix("") / "metrics.jsonl").read_text().splitlines()]
    seconds = [b["seconds"] - a["seconds"] for a, b in zip(lines, lines[1:])][WARM_UP - 1:]
    return statistics.median(seconds) if seconds else 0.0, peak


def theirs(args, folder):
    """The same of the usual loop, in a process of its own."""
    command = [sys.executable, __file__, args.program, args.model, "--child", str(folder), "--resolution", str(args.resolution),
               "--rank", str(args.rank), "--steps", str(args.steps), "--threads", str(args.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def usual_loop(args):
    import torch
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from peft import LoraConfig
    from safetensors.torch import load_file
    torch.set_num_threads(args.threads)
    unet = UNet2DConditionModel.from_pretrained(args.model, subfolder="unet", torch_dtype=torch.bfloat16)
    unet.to(memory_format=torch.channels_last).requires_grad_(False)
    unet.add_adapter(LoraConfig(r=args.rank, lora_alpha=args.rank, target_modules=TARGETS))
    unet.enable_gradient_checkpointing()
    unet.train()
    parameters = [p for p in unet.parameters() if p.requires_grad]
    for p in parameters:
        p.data = p.data.float()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    def cached(name):
        files = sorted((pathlib.Path(args.child) / "cache").glob(f"*/{name}*.safetensors"))
        return [tensor for path in files for tensor in load_file(path).values()]

    latents, states = cached("latents"), [s for s in cached("captions") if s.dim() == 2]
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    seconds = []
    for step in range(args.steps):
        started = time.monotonic()
        x0, context = latents[step % len(latents)][None].float(), states[step % len(states)][None]
        noise, t = torch.randn_like(x0), torch.randint(0, 1000, (1,))
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(scheduler.add_noise(x0, noise, t), t, context.to(torch.bfloat16)).sample
        loss = torch.nn.functional.mse_loss(predicted.float(), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.monotonic() - started)
    print(json.dumps([statistics.median(seconds[WARM_UP:]), high_water_gib("self")]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--most-gib", type=float, default=0.0)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        usual_loop(args)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_pictures(folder / "pictures", args.resolution)
        ours(args, folder, 1, "first")
        rows = {"pangu-draw": [], "diffusers + peft": []}
        for turn in range(args.rounds):
            rows["pangu-draw"].append(ours(args, folder, args.steps, f"run{turn}"))
            if args.peers:
                rows["diffusers + peft"].append(theirs(args, folder))
        for engine, measured in rows.items():
            if measured:
                print(f"{engine:18} {statistics.median(s for s, _ in measured):7.2f} s/step   "
                      f"{max(g for _, g in measured):5.2f} GiB at most", flush=True)
        peak = max(g for _, g in rows["pangu-draw"])
        if args.most_gib and peak > args.most_gib:
            sys.exit(f"bench/lora.py: expected at most {args.most_gib} GiB, found {peak:.2f} GiB")


if __name__ == "__main__":
    main()
