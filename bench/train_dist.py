#!/usr/bin/env python3
"""What sharing a training among processes costs: one network on one batch by 1, 2 and 4 processes at a fixed number of
threads in all, in turns, and the bytes that a step sends against the formula (docs/training.md).

Usage: bench/train_dist.py PROGRAM CONFIG.toml [--processes 1 2 4] [--stages 0 2] [--steps 60] [--rounds 3] [--set k=v]

Every run begins anew in a folder of its own, with one replica a process; a run by one process has as many replicas as there
are threads. Times are medians of the steps after the first quarter, by metrics.jsonl.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

WARM = 0.25


def run(options, folder, processes, stage):
    """Seconds a step, and bytes that the first process sent in one."""
    out = pathlib.Path(folder) / f"{processes}-{stage}"
    threads = options.threads // processes
    sets = [f'output_dir="{out}"', f'cache_dir="{folder}/cache"', f"zero_stage={stage}", f"replicas={max(1, threads)}",
            f"max_train_steps={options.steps}", "log_every_n_steps=1", "sample_every_n_steps=0", "save_every_minutes=1000",
            *options.set]
    command = [options.program, "train", options.config, "--fresh", "--quiet", "--threads", str(max(1, threads)),
               *(word for one in sets for word in ("--set", one))]
    if processes > 1:
        command += ["--nproc", str(processes)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    warm = lines[int(len(lines) * WARM):]
    steps = [b["seconds"] - a["seconds"] for a, b in zip(warm, warm[1:])]
    return statistics.median(steps), warm[-1]["bytes_sent_a_step"]


def formula(parameters, processes, stage, weight_bytes):
    share = (processes - 1) / processes
    gradients = 4 * parameters * share * (1 if stage == 2 else 2)
    return gradients + (weight_bytes * parameters * share if stage else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("config")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--stages", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--parameters", type=int, help="of what is trained, for the formula")
    parser.add_argument("--weight-bytes", type=int, default=2, help="of a weight: 2 in bf16, 4 in f32")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    kinds = [(n, stage) for n in options.processes for stage in (options.stages if n > 1 else [0])]
    times, sent = {kind: [] for kind in kinds}, {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for kind in kinds:
                seconds, sent[kind] = run(options, folder, *kind)
                times[kind].append(seconds)
    base = statistics.median(times[kinds[0]])
    print(f"{options.config}, {options.threads} threads in all, medians of {options.rounds} runs of {options.steps} steps")
    for processes, stage in kinds:
        seconds = statistics.median(times[processes, stage])
        line = f"{processes} processes, zero_stage {stage}: {seconds * 1000:8.1f} ms a step, {100 * (seconds / base - 1):+6.1f} %"
        if processes > 1:
            line += f", {sent[processes, stage] / 1e6:8.2f} MB sent"
            if options.parameters:
                line += f" (formula {formula(options.parameters, processes, stage, options.weight_bytes) / 1e6:.2f})"
        print(line)


if __name__ == "__main__":
    main()
