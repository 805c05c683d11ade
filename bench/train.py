#!/usr/bin/env python3
"""Compares the training throughput of this program with diffusers + PyTorch: same network, same data, one run.

    bench/train.py PROGRAM CONFIG.toml [--set KEY=VALUE]... [--rounds 3] [--seconds 40] [--threads 2]

CONFIG is a denoiser's training file whose cache of latents and captions is there already (one run
of `pangu-draw train` makes it). Rounds alternate between the two, so that other load on the machine affects both. The
reference is the usual loop (usual_training.py). Both train in bf16, or in f32 where the processor does not multiply bf16, which is
faster there. Both sides train for real; the first steps of each round are not counted. Prints samples/s of each round and the ratio
of the medians.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

import records

WARM_UP_LINES = 2  # of metrics.jsonl
LOG_EVERY = 4      # steps


def precision_here():
    """What the usual loop is fastest in on this processor."""
    return "bf16" if records.multiplies_bf16(records.processor_flags()) else "no"


def parse_value(text):
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def ours(args, config, folder):
    out = pathlib.Path(folder) / "run"
    sets = [f"output_dir={out}", f"log_every_n_steps={LOG_EVERY}", "sample_every_n_steps=0",
            "save_every_minutes=600", "max_train_steps=1000000", f"mixed_precision={precision_here()}"] + args.set
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
    from usual_training import UsualTraining
    torch.set_num_threads(args.threads)
    training = UsualTraining(config, config["train_batch_size"], precision_here())
    for _ in range(WARM_UP_LINES * LOG_EVERY):
        training.step()
    started, steps = time.monotonic(), 0
    while time.monotonic() - started < args.seconds:
        training.step()
        steps += 1
    rate = steps * config["train_batch_size"] / (time.monotonic() - started)
    training.end()
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
    kind = "bf16 autocast" if precision_here() == "bf16" else "f32"
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
