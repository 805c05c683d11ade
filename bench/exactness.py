#!/usr/bin/env python3
"""How far the kernels' pictures are from exact ones: the embedded model draws the same prompts in f32, in bf16 by plain
operators (PANGU_KERNELS=plain) and in bf16 by the kernels of this machine. Exact means: the kernels' pictures are no
further from f32 than those of the plain operators are.

    bench/exactness.py build/release/pangu-draw
"""
import os
import subprocess
import sys
import tempfile

import numpy
from PIL import Image

PROMPTS = ["a red apple", "a blue bird", "a wooden chair", "一只戴帽子的猫", "a castle on a hill", "two fish",
           "a yellow car", "a green frog, 3D render"]
WAYS = {"f32": ("f32", ""), "plain": ("bf16", "plain"), "kernels": ("bf16", "")}


def drawn(program, folder, way, number):
    dtype, kernels = WAYS[way]
    path = f"{folder}/{way}_{number}.png"
    environment = {**os.environ, "PANGU_KERNELS": kernels} if kernels else os.environ
    subprocess.run([program, "draw", PROMPTS[number], "--seed", str(number), "--dtype", dtype, "-o", path],
                   check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with Image.open(path) as picture:
        return numpy.asarray(picture.convert("RGB")).astype(float)


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        pictures = {way: [drawn(program, folder, way, i) for i in range(len(PROMPTS))] for way in WAYS}
    print(f"mean difference of {len(PROMPTS)} pictures, of 255")
    for one, other in [("plain", "f32"), ("kernels", "f32"), ("kernels", "plain")]:
        apart = [numpy.abs(a - b).mean() for a, b in zip(pictures[one], pictures[other])]
        print(f"{one:>8} - {other:<6} {numpy.mean(apart):6.3f}   (most {max(apart):.3f})")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
