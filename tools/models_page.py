#!/usr/bin/env python3
"""Writes docs/models.md from what the parity tests print.

  ./pangu-draw test parity 2>&1 | tools/models_page.py > docs/models.md

Every line "parity  NAME  error E  bound B" becomes a row, so the page lists what is tested and nothing
else; tests/parity/pictures_test.cpp fails when a picture that it draws is not on the page.
"""

import re
import sys

LINE = re.compile(r"parity\s+(?P<name>.*?)\s+error\s+(?P<error>\S+)\s+bound\s+(?P<bound>\S+)")
PICTURE = "picture: "
FAMILIES = {"sd15": "Stable Diffusion 1.x", "sd21v": "Stable Diffusion 2.x, v-prediction",
            "sd21": "Stable Diffusion 2.x", "sdxl": "SDXL", "image": "SD image variations",
            "single": "single files"}
TEXT = """# Models that run, and what each is tested against

A model is a folder in diffusers' layout or one LDM `.safetensors`; which family it is, is read off the names and
shapes of its tensors, never off the file's name. f32, f16 and bf16 files are mapped and converted on load.
Pickled files (`.ckpt`, `.pt`, `.bin`) are refused, with the line that converts them.

PanGu-Draw 3 is a folder with its two MindSpore `.ckpt` as released. They hold the same tensors, so here alone names
count: the file with `low` in its name is the texture generator (little noise, the last steps) and gives autoencoder
and text encoders too, the one with `high` is the structure generator. One of them alone is refused.
`./pangu-draw convert FOLDER OUT` makes one diffusers folder of the two.

| family | how it is recognised | conditions |
|---|---|---|
| Stable Diffusion 1.x | convolutional projections, one CLIP text encoder | text |
| Stable Diffusion 2.x (eps and v) | linear projections, one OpenCLIP text encoder | text; the layer before the last |
| SDXL base | two text encoders, six size numbers | text, pooled text, sizes and crop |
| SDXL refiner | one OpenCLIP text encoder, four levels, five size numbers | text, pooled text, aesthetic score |
| PanGu-Draw 3 | SDXL's network with one size index; Chinese CLIP beside OpenCLIP bigG | text, pooled text, size index |
| SD image variations | a CLIP image encoder instead of a text encoder | `--image-prompt` |
| inpainting variants | nine input channels | `--init-image`, `--mask` |
| ControlNet, LoRA, textual inversion, TAESD | `--controlnet`, `--lora`, `--embedding`, `--vae` | |

Everything is compared with the reference libraries (diffusers, transformers, open_clip, NumPy, torch) on the
same random weights, seeds and noise, in f32. `./pangu-draw test parity` prints these lines again.

## Whole pictures

Same seed, same settings, `--noise torch-cpu`: the mean difference of bytes (of 255) from the PNG of diffusers'
own pipeline.

"""


def rows(lines, head):
    text = f"| {head} | error | bound |\n|---|---|---|\n"
    return text + "".join(f"| {name} | {error} | {bound} |\n" for name, error, bound in lines)


def family_of(case):
    return FAMILIES.get(case.split()[0], case.split()[0])


def main():
    found = [(m["name"], m["error"], m["bound"]) for m in map(LINE.search, sys.stdin) if m]
    if not found:
        sys.exit("models_page: no line of the parity tests in the input")
    pictures = [(name[len(PICTURE):], e, b) for name, e, b in found if name.startswith(PICTURE)]
    # Files of tests run side by side, in any order.
    others = sorted(line for line in found if not line[0].startswith(PICTURE))
    print(TEXT, end="")
    for family in dict.fromkeys(family_of(name) for name, _, _ in pictures):
        print(f"### {family}\n")
        print(rows([p for p in pictures if family_of(p[0]) == family], "case"))
    print("## Networks, samplers, tokenizers, names\n\nGreatest difference over the greatest magnitude.\n")
    print(rows(others, "case"), end="")


if __name__ == "__main__":
    main()
