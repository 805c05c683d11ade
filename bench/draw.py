#!/usr/bin/env python3
"""Measures the seconds from starting `pangu-draw draw` to the picture, as a newcomer meets them,
and where they go.

    bench/draw.py PROGRAM [--steps 20] [--runs 5] [--prompt TEXT] [-- MORE DRAW OPTIONS]

Each run is a process of its own, with the model's files in the page cache (the first run, which
reads them, is shown and not counted). Prints the medians of the wall seconds and of the program's
own phases.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time


def main():
    own, more = sys.argv[1:], []
    if "--" in own:
        cut = own.index("--")
        own, more = own[:cut], own[cut + 1:]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prompt", default="a red apple, 3D render")
    args = parser.parse_args(own)
    walls, phases = [], {}
    with tempfile.TemporaryDirectory() as folder:
        command = [args.program, "draw", args.prompt, "--out", f"{folder}/out.png", "--steps",
                   str(args.steps), "--seed", "1", "--quiet", "--json", "--overwrite", *more]
        for run in range(args.runs + 1):
            start = time.monotonic()
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            wall = time.monotonic() - start
            print(f"run {run}: {wall:.2f} s" + (" (not counted)" if run == 0 else ""), flush=True)
            if run == 0:
                continue
            walls.append(wall)
            seconds = json.loads(out)["seconds"]
            seconds["start and end of the program"] = wall - sum(seconds.values())
            for name, value in seconds.items():
                phases.setdefault(name, []).append(value)
    for name, values in phases.items():
        print(f"{name:30} {statistics.median(values):7.3f} s")
    print(f"{'wall, median':30} {statistics.median(walls):7.3f} s")


if __name__ == "__main__":
    main()
