#!/usr/bin/env python3
"""Trains at released sizes with random weights, and prints memory and time of each row of docs/training.md's table.

    bench/train_memory.py BUILD FOLDER [--rows lora_sd15 lora_sdxl_512 ...] [--steps 4] [--threads 2]

BUILD is the folder with pangu-draw and bench_train_step (ninja bench_train_step). FOLDER keeps the weights that are
made, 2 GB for SD 1.5 and 7 GB for SDXL, and for a while a checkpoint, 15 GB for the generator of PanGu-Draw 3. Every
row is a process of its own, one picture a step, whose VmHWM counts the pages of mapped weights. A LoRA has rank 16,
and its first run, which fills the cache, is counted for itself ("encoding"). Above its bar a row fails.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import types

from diffusers import UNet2DConditionModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import full_size_weights as weights  # noqa: E402
import lora  # noqa: E402

LORA = {"lora_sd15": ("sd15", 512, 4), "lora_sdxl_512": ("sdxl", 512, 8), "lora_sdxl_1024": ("sdxl", 1024, 10)}
LEAST = ["--set", "optimizer=adamw8bit", "--set", "fused_backward_pass=true", "--set", "max_grad_norm=0"]
# UNet, side in latent pixels, tokens, bar in GiB
STEPS = {"full_sd15": ("sd15", 64, 77, 10), "full_pangu_draw_3": ("pangu_draw_3", 64, 77, 18)}
UNETS = {"sd15": weights.SD15, "pangu_draw_3": dict(weights.SDXL, projection_class_embeddings_input_dim=1536)}


def unet_config(folder, name):
    model, _ = weights.on_meta(UNet2DConditionModel, **UNETS[name])
    path = folder / f"{name}_unet.json"
    path.write_text(json.dumps(dict(model.config), default=str))
    return path


def lora_row(args, name):
    family, resolution, bar = LORA[name]
    model = args.folder / f"{family}.safetensors"
    if not model.exists():
        weights.single(family, args.folder)
    with tempfile.TemporaryDirectory(dir=args.folder) as made:
        folder = pathlib.Path(made)
        lora.write_pictures(folder / "pictures", resolution)
        asked = types.SimpleNamespace(program=args.build / "pangu-draw", model=model, rank=16, threads=args.threads,
                                      resolution=resolution)
        _, encoding = lora.ours(asked, folder, 1, "first")
        seconds, peak = lora.ours(asked, folder, args.steps, "second")
    print(f"{name:20} {seconds:7.2f} s/step {peak:6.2f} GiB, with encoding {encoding:6.2f} GiB (bar {bar})", flush=True)
    return peak <= bar


def step_row(args, name):
    family, side, tokens, bar = STEPS[name]
    with tempfile.TemporaryDirectory(dir=args.folder) as out:
        command = [args.build / "bench" / "bench_train_step", unet_config(args.folder, family), out, "--side", side,
                   "--tokens", tokens, "--steps", args.steps, "--threads", args.threads, "--most-gib", bar, *LEAST]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    print(f"{name:20} {done.stdout.strip()} (bar {bar})", flush=True)
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--rows", nargs="+", choices=[*LORA, *STEPS], default=[*LORA, *STEPS])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    met = [lora_row(args, name) if name in LORA else step_row(args, name) for name in args.rows]
    if not all(met):
        sys.exit("bench/train_memory.py: not every bar is met")


if __name__ == "__main__":
    main()
