#!/usr/bin/env python3
"""What bridges cost and change: two fused members' seconds a step, and how far the picture moves.

    bench/bridges.py PROGRAM RECIPE [--kinds exact,learned] [--steps 40] [--fewer 30] [--seeds 3]
                     [-- MORE COOP OPTIONS, say --bridges FOLDER]

The first kind is the judge of pictures; --fewer is its own step count that a bridge is compared to.
Seconds are of the denoisers and of the bridges inside one process each, so that a busy machine
slows both: their ratio is what counts. Needs NumPy and Pillow.
"""
import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile

import numpy
from PIL import Image


def picture(path):
    return numpy.asarray(Image.open(path).convert("RGB"), dtype=numpy.float64)


def psnr(a, b):
    error = numpy.mean((a - b) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255 ** 2 / error)


def main():
    own, more = sys.argv[1:], []
    if "--" in own:
        cut = own.index("--")
        own, more = own[:cut], own[cut + 1:]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("recipe")
    parser.add_argument("--kinds", default="exact,learned")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--fewer", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args(own)
    kinds = args.kinds.split(",")
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        def draw(kind, steps, seed):
            out = f"{folder}/{kind}-{steps}-{seed}.png"
            command = [args.program, "coop", args.recipe, "--bridge", kind, "--steps", str(steps), "--seed", str(seed),
                       "--out", out, "--quiet", "--json", *more]
            seconds = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["seconds"]
            bridging = sum(s for phase, s in seconds.items() if phase.startswith("bridge "))
            denoising = sum(s for phase, s in seconds.items()
                            if phase.split(" ")[0] in ("structure", "texture", "denoiser"))
            return picture(out), denoising / steps, bridging / steps

        for seed in range(args.seeds):
            judge, *_ = first = draw(kinds[0], args.steps, seed)
            runs = [(kinds[0], args.steps, first), (kinds[0], args.fewer, draw(kinds[0], args.fewer, seed))]
            runs += [(kind, args.steps, draw(kind, args.steps, seed)) for kind in kinds[1:]]
            for kind, steps, (drawn, denoising, bridging) in runs:
                distance = psnr(judge, drawn)
                rows.setdefault((kind, steps), []).append((denoising, bridging, distance))
                print(f"seed {seed}, {kind}, {steps} steps: denoisers {denoising:.4f} s a step, bridges "
                      f"{bridging:.4f} s, {distance:.2f} dB", file=sys.stderr, flush=True)
    print(f"{'bridge':10}{'steps':>6}{'denoisers, s a step':>22}{'with bridges, times':>22}{'PSNR by ' + kinds[0]:>18}")
    for (kind, steps), values in rows.items():
        denoising = statistics.median(v[0] for v in values)
        times = statistics.median(1 + v[1] / v[0] for v in values)
        distance = statistics.mean(v[2] for v in values)
        print(f"{kind:10}{steps:6}{denoising:22.4f}{times:22.3f}{distance:18.2f}")


if __name__ == "__main__":
    main()
