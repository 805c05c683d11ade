"""A second implementation of PanGu-Draw 3, written from its specification in plain torch. It is no part of the
program; tests compare the program with it, and it is slow. Nothing in it comes from src/ or from diffusers and
transformers. It has a file reader of its own, and tensors keep the names that they have in the files.

  pangu_reference.py draw FOLDER OUT.png PROMPT [--negative TEXT] [--style NAME ...] [--steps N] ...
  pangu_reference.py tiny FOLDER [--seed N]     a random pair of narrow files, for tests
"""

import argparse
import pathlib

import torch

from pangu_reference import pair, sampling, words


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("folder", type=pathlib.Path)
    drawing.add_argument("out", type=pathlib.Path)
    drawing.add_argument("prompt")
    drawing.add_argument("--negative", default="")
    drawing.add_argument("--style", action="append", default=[], choices=words.PREFIXES)
    drawing.add_argument("--steps", type=int, default=40)
    drawing.add_argument("--guidance", type=float, default=6.0)
    drawing.add_argument("--style-scale", type=float, default=4.0)
    drawing.add_argument("--size", type=int, nargs=2, default=(1024, 1024))
    drawing.add_argument("--seed", type=int, default=42)
    making = commands.add_parser("tiny")
    making.add_argument("folder", type=pathlib.Path)
    making.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    if a.command == "tiny":
        return pair.write_tiny_pair(a.folder, a.seed)
    from PIL import Image
    with torch.no_grad():
        result = sampling.draw(*pair.open_pair(a.folder), pair.tokenizers(), a.prompt, a.negative, a.style,
                               a.guidance, a.style_scale, a.steps, *a.size, a.seed)
    Image.fromarray(result["bytes"]).save(a.out)


if __name__ == "__main__":
    main()
