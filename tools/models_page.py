#!/usr/bin/env python3
"""Writes docs/models.md from what the parity tests print.

  ./pangu-draw test parity 2>&1 | tools/models_page.py > docs/models.md

Every line "parity  NAME  error E  bound B" becomes a row, so the page lists what is tested and nothing
else; a parity test fails when a case of its own is not on the page. The name of a picture is
"picture: [single ]FAMILY TASK[: DETAIL]" and fills a cell of the table of families and tasks.
"""

import re
import sys

LINE = re.compile(r"parity\s+(?P<name>.*?)\s+error\s+(?P<error>\S+)\s+bound\s+(?P<bound>\S+)")
PIPELINES = "diffusers"
FAMILIES = {"sd15": ("Stable Diffusion 1.x", PIPELINES), "sd21": ("Stable Diffusion 2.x", PIPELINES),
            "sd21v": ("Stable Diffusion 2.x, v-prediction", PIPELINES), "sdxl": ("SDXL", PIPELINES),
            "refiner": ("SDXL refiner", PIPELINES), "variations": ("SD image variations", PIPELINES),
            "pangu3": ("PanGu-Draw 3", "its second statement, tools/pangu_reference")}
TASKS = ("text to image", "image to image", "inpainting", "inpainting model", "controlnet", "LoRA",
         "textual inversion", "tiny autoencoder", "image prompt", "with refiner")
SINGLE = "single file"
PICTURE = re.compile(rf"picture: (?P<case>(?P<single>single )?(?P<family>{'|'.join(FAMILIES)}) "
                     rf"(?P<task>{'|'.join(TASKS)})(: .*)?)")
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

"""
PICTURES = """## Families and tasks

The worst error of the whole pictures of a family and a task; a dash where no picture is compared. Inpainting is
by blending of latents, an inpainting model has nine input channels. "single file" are the pictures for which this
program drew from one LDM `.safetensors` and the reference from the folder of the same weights.

"""
WHOLE = """## Whole pictures

Same seed, same settings, `--noise torch-cpu`: the mean difference of bytes (of 255) from the PNG of diffusers'
own pipeline; for PanGu-Draw 3, `--noise numpy` and the picture of its second statement in Python.

"""


def rows(lines, head):
    text = f"| {head} | error | bound |\n|---|---|---|\n"
    return text + "".join(f"| {name} | {error} | {bound} |\n" for name, error, bound in lines)


def pictures_of(found):
    """(case, family, tasks, error, bound) of every picture; a name that is not understood is an error."""
    pictures = []
    for name, error, bound in found:
        if not name.startswith("picture: "):
            continue
        match = PICTURE.fullmatch(name)
        if not match:
            sys.exit(f"models_page: '{name}': expected 'picture: [single ]FAMILY TASK[: DETAIL]', "
                     f"FAMILY of {', '.join(FAMILIES)}, TASK of {', '.join(TASKS)}")
        tasks = [match["task"]] + [SINGLE] * bool(match["single"])
        pictures.append((match["case"], match["family"], tasks, error, bound))
    return pictures


def table(pictures):
    """Family x task, and what a family is tested against."""
    columns = [*TASKS, SINGLE]
    text = "| family | " + " | ".join(columns) + " | tested against |\n" + "|---" * (len(columns) + 2) + "|\n"
    for family, (title, against) in FAMILIES.items():
        cells = []
        for column in columns:
            errors = [error for _, own, tasks, error, _ in pictures if own == family and column in tasks]
            cells.append(max(errors, key=float, default="-"))
        text += f"| {title} | {' | '.join(cells)} | {against} |\n"
    return text + "\n"


def main():
    found = [(m["name"], m["error"], m["bound"]) for m in map(LINE.search, sys.stdin) if m]
    if not found:
        sys.exit("models_page: no line of the parity tests in the input")
    pictures = pictures_of(found)
    # Files of tests run side by side, in any order.
    others = sorted(line for line in set(found) if not line[0].startswith("picture: "))
    print(TEXT + PICTURES + table(pictures) + WHOLE, end="")
    for family, (title, _) in FAMILIES.items():
        own = [(case, error, bound) for case, of, _, error, bound in pictures if of == family]
        if own:
            print(f"### {title}\n\n{rows(own, 'case')}")
    print("## Networks, samplers, tokenizers, names\n\nGreatest difference over the greatest magnitude; of tokenizers "
          "and prompts, how many texts differ.\n")
    print(rows(others, "case"), end="")


if __name__ == "__main__":
    main()
