#!/usr/bin/env python3
"""Measures what bridges cost and change: the seconds a step of fused members relative to the members alone, and how
far the picture changes.

    bench/bridges.py PROGRAM RECIPE [--kinds exact,learned] [--steps 40] [--fewer 30] [--seeds 3] [--vgg WEIGHTS]
                     [-- MORE COOP OPTIONS, say --bridges FOLDER]

Pictures are compared with those of the first kind; for scale they are also compared with its pictures at --fewer
steps. For each seed the members are drawn alone, too, each at its size in the recipe, so that a busy machine slows all
alike: only ratios count. Seconds are those of denoisers and bridges. The feature distance needs the weights of
tools/export_vgg.py: it is the mean square between VGG16's features of unit length, averaged over its five blocks
(LPIPS without trained weights). Needs NumPy and Pillow; --vgg also torch and safetensors.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import tomllib

import numpy
from PIL import Image

MEAN_RGB = (122.67892, 116.66877, 104.00699)  # what these weights expect
BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
RANGES = ("weight_curve", "from", "to", "sigma_low", "sigma_high", "mask", "size")  # of a member that draws with others


def picture(path):
    return numpy.asarray(Image.open(path).convert("RGB"), dtype=numpy.float64)


def psnr(a, b):
    error = numpy.mean((a - b) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255 ** 2 / error)


def feature_distance(weights):
    """Returns a function of two pictures."""
    if not weights:
        return lambda a, b: math.nan
    import torch
    from safetensors.torch import load_file
    from torch.nn import functional
    trunk = {name: tensor.float() for name, tensor in load_file(weights).items()}

    def features(pixels):
        x = torch.from_numpy((pixels - MEAN_RGB).transpose(2, 0, 1)[None]).float()
        for number, block in enumerate(BLOCKS):
            x = functional.max_pool2d(x, 2, ceil_mode=True) if number else x
            for i in block:
                x = functional.relu(functional.conv2d(x, trunk[f"features.{i}.weight"], trunk[f"features.{i}.bias"],
                                                      padding=1))
            yield functional.normalize(x, dim=1)

    def distance(a, b):
        with torch.no_grad():
            return statistics.mean((p - q).square().sum(1).mean().item() for p, q in zip(features(a), features(b)))

    return distance


def located(value, folder):
    """Makes the paths of a recipe absolute; they are relative to its folder."""
    if isinstance(value, dict):
        return {k: v if k in ("prompt", "negative", "name") else located(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [located(v, folder) for v in value]
    return str((folder / value).resolve()) if isinstance(value, str) and value and (folder / value).exists() else value


def toml(recipe):
    lines = [f"{k} = {json.dumps(v)}" for k, v in recipe.items() if k != "member"]
    for member in recipe["member"]:
        lines += ["[[member]]", *(f"{k} = {json.dumps(v)}" for k, v in member.items())]
    return "\n".join(lines) + "\n"


def alone(recipe, name, width, height):
    """Returns the recipe as TOML with one member as the hub and no weight for the others."""
    members = [{k: v for k, v in member.items() if k not in RANGES} for member in recipe["member"]]
    for member in members:
        member.update(hub=member["name"] == name, weight=float(member["name"] == name))
    return toml({**{k: v for k, v in recipe.items() if k != "stage"}, "size": f"{width}x{height}", "member": members})


def main():
    own, more = sys.argv[1:], []
    if "--" in own:
        cut = own.index("--")
        own, more = own[:cut], own[cut + 1:]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("recipe", type=pathlib.Path, help="TOML whose members have names, in one stage")
    parser.add_argument("--kinds", default="exact,learned")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--fewer", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--vgg", help="weights of tools/export_vgg.py, for feature distances")
    args = parser.parse_args(own)
    kinds, distance = args.kinds.split(","), feature_distance(args.vgg)

    def coop(*options):
        command = [args.program, "coop", *map(str, options), "--json"]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    recipe = located(tomllib.loads(args.recipe.read_text(encoding="utf-8")), args.recipe.parent)
    stages = coop(args.recipe, "--plan", *more)["stages"]
    if len(stages) != 1 or any("name" not in member for member in recipe["member"]):
        parser.error("expected a recipe of one stage whose members have names")
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        singles = []
        for number, m in enumerate(stages[0]["members"]):
            singles.append(folder / f"{number}.toml")
            singles[-1].write_text(alone(recipe, m["name"], m["width"], m["height"]), encoding="utf-8")

        def draw(path, steps, seed, *options):
            """The picture, seconds of denoisers and of bridges a step."""
            out = folder / "out.png"
            seconds = coop(path, "--steps", steps, "--seed", seed, "--out", out, "--overwrite", "--quiet", *options)["seconds"]
            bridging = sum(s for phase, s in seconds.items() if phase.startswith("bridge "))
            denoising = sum(s for phase, s in seconds.items()
                            if phase.split(" ")[0] in ("structure", "texture", "denoiser"))
            return picture(out), denoising / steps, bridging / steps

        for seed in range(args.seeds):
            of_each = [draw(single, args.steps, seed)[1] for single in singles]
            runs = [(kinds[0], args.steps), (kinds[0], args.fewer), *((kind, args.steps) for kind in kinds[1:])]
            judge = None
            for kind, steps in runs:
                drawn, denoising, bridging = draw(args.recipe, steps, seed, "--bridge", kind, *more)
                judge = drawn if judge is None else judge
                row = (sum(of_each), denoising, bridging, psnr(judge, drawn), distance(judge, drawn))
                rows.setdefault((kind, steps), []).append(row)
                print(f"seed {seed}, {kind}, {steps} steps: members alone " +
                      " + ".join(f"{s:.4f}" for s in of_each) + f" s a step, together {denoising:.4f} s, bridges "
                      f"{bridging:.4f} s, {row[3]:.2f} dB, features {row[4]:.5f}", file=sys.stderr, flush=True)
    print(f"{'':16}{'s a step':>30}{'with bridges, times':>30}{'by ' + kinds[0]:>24}")
    print(f"{'bridge':10}{'steps':>6}{'members alone':>15}{'together':>15}{'together':>15}{'alone':>15}{'PSNR':>12}"
          f"{'features':>12}")
    for (kind, steps), values in rows.items():
        members, denoising = (statistics.median(v[i] for v in values) for i in (0, 1))
        by_together = statistics.median((v[1] + v[2]) / v[1] for v in values)
        by_alone = statistics.median((v[1] + v[2]) / v[0] for v in values)
        moved, features = (statistics.mean(v[i] for v in values) for i in (3, 4))
        print(f"{kind:10}{steps:6}{members:15.4f}{denoising:15.4f}{by_together:15.3f}{by_alone:15.3f}{moved:12.2f}"
              f"{features:12.5f}")


if __name__ == "__main__":
    main()
