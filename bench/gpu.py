#!/usr/bin/env python3
"""What the program computes on a GPU beside what it computes on the CPU, and its speed there beside diffusers and
torch.compile. bench/gpu.sh builds and calls it.

    bench/gpu.py --program PROGRAM [--device cuda] [--models mini,sd15,sdxl] [--rounds 5] [--out FILE.json]

First the checks, which fail: the embedded model and tiny models of Stable Diffusion 1.5 and SDXL draw on both in f32, with the
same seeds, and pictures may differ by half a level of 255 on average (cuDNN computes convolutions in TF32); ten steps of a
training have the same losses to 1 %. Then the speed, in bf16: a step with guidance and a decoding of each model, engines in
turns. Weights are random (bench/peers/weights.py), made in a temporary folder. --device cpu tries the bench itself.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "peers"), str(ROOT / "tools/parity"), str(ROOT / "tools")]
import records  # noqa: E402
from child import Child, EngineFailed  # noqa: E402
from engines import ENGINES, command_of, version_of  # noqa: E402
from models import load_request  # noqa: E402
from weights import weights_of  # noqa: E402

MOST_LEVELS, MOST_LOSS = 0.5, 0.01
ENGINES_HERE = ("ours", "torch", "torch-compile")
TRAINING_STEPS = 10


def run(args, *words):
    done = subprocess.run([str(word) for word in (args.program, *words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench/gpu.py: {' '.join(map(str, words))} ended with {done.returncode}: {done.stderr}")


def picture(args, folder, model, size, device):
    import numpy as np
    from PIL import Image
    out = folder / f"{device}.png"
    run(args, "draw", "a red fox", "--model", model, "--size", size, "--steps", 6, "--seed", 3, "--dtype", "f32", "--device",
        device, "-q", "--out", out)
    return np.asarray(Image.open(out).convert("RGB"), dtype=np.float64)


def losses(args, folder, model, device):
    out = folder / f"trained_{device}"
    run(args, "train", "--finetune", model, "--data", folder / "pictures", "--out", out, "--device", device, "--fresh", "-q",
        "--steps", TRAINING_STEPS, *(word for item in ('mixed_precision="no"', "resolution=64", "enable_bucket=false",
                                                       "log_every_n_steps=1", "learning_rate=1e-4")
                                     for word in ("--set", item)))
    metrics = next(out.rglob("metrics.jsonl")).read_text().splitlines()
    return [json.loads(line)["loss"] for line in metrics]


def check(args, folder):
    """Returns what was compared; ends the bench where the devices disagree."""
    from dump_checkpoints import make_case
    from lora import write_pictures
    found = {}
    models = {"mini": (ROOT / "models/mini", 256)}
    models |= {name: (make_case(name, folder)["single"], 64) for name in ("sd1", "sdxl")}
    for name, (model, size) in models.items():
        here, there = (picture(args, folder, model, size, device) for device in ("cpu", args.device))
        found[f"picture of {name}, mean difference of 255"] = abs(here - there).mean()
        if found[f"picture of {name}, mean difference of 255"] > MOST_LEVELS:
            sys.exit(f"bench/gpu.py: {name}: expected pictures within {MOST_LEVELS} of 255, found {found}")
    write_pictures(folder / "pictures", 64)
    here, there = (losses(args, folder, models["sd1"][0], device) for device in ("cpu", args.device))
    found["losses of a training, largest relative difference"] = worst = max(abs(a - b) / a for a, b in zip(here, there))
    if worst > MOST_LOSS or len(here) != len(there):
        sys.exit(f"bench/gpu.py: expected losses within {MOST_LOSS}, found {here} and {there}")
    return found


def measure(args, folder, model):
    """Seconds of every engine that can do it, by what and engine."""
    weights = {engine: ROOT / "models/mini" if (model, engine) == ("mini", "ours") else weights_of(model, folder)
               for engine in ENGINES_HERE}
    cpus, children, seconds = os.sched_getaffinity(0), {}, {}
    for engine in ENGINES_HERE:
        child = Child(command_of(engine, args.program.parent / "bench"), cpus, len(cpus), folder / f"{engine}.log")
        try:
            child.receive()
            options = {**ENGINES[engine].options, "device": args.device, "cache": str(folder)}
            child.ask(**load_request(model, weights[engine], 1, len(cpus), ("denoiser", "decoder", "text"),
                                     ROOT / "models/tokenizers", options))
            for what in ("step", "decode"):
                child.ask(do=what)  # compiles, and chooses algorithms
                child.ask(do=what)
            children[engine] = child
        except EngineFailed as failure:
            print(f"{model:6} {engine:14} failed: {failure}", flush=True)
            child.end()
    for number in range(args.rounds):
        for engine in list(children) if number % 2 == 0 else reversed(children):
            for what in ("step", "decode"):
                seconds.setdefault((what, engine), []).extend(children[engine].ask(do=what)["seconds"] for _ in range(3))
    for child in children.values():
        child.end()
    return {key: statistics.median(values) for key, values in seconds.items()}


def name_of(device):
    import torch
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else records.processor()["model name"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", type=lambda text: text.split(","), default=["mini", "sd15", "sdxl"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="JSON of what was found")
    args = parser.parse_args()
    args.program = args.program.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        found = {"time": records.now(), "device": name_of(args.device), "checks": check(args, folder), "rows": [],
                 "versions": {engine: version_of(engine) for engine in ENGINES_HERE}}
        for what, value in found["checks"].items():
            print(f"{what}: {value:.4f}", flush=True)
        for model in args.models:
            seconds = measure(args, folder, model)
            for (what, engine), value in sorted(seconds.items()):
                ratio = value / seconds[what, "ours"] if (what, "ours") in seconds else float("nan")
                found["rows"].append({"row": f"{model}/{what}", "engine": engine, "seconds": value, "times_ours": ratio})
                print(f"{model:6} {what:7} {engine:14} {value * 1000:9.2f} ms   {ratio:5.2f} times ours", flush=True)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
