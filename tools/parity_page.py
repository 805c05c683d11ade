#!/usr/bin/env python3
"""Writes docs/parity.md from what the parity tests print.

  ./pangu-draw test parity 2>&1 | tools/parity_page.py > docs/parity.md

Every line "parity  NAME  error E  bound B" becomes a row, so the page lists what is tested and nothing
else; a parity test fails when a case of its own is not on the page. The name of a picture is
"picture: [single ]FAMILY TASK[: DETAIL]" and fills a cell of the table of families and tasks; "changed NAME by D with
SETTING" says how far the picture changes with another value of the tested setting. "rival NAME | OURS | THEIRS | D" is
a row of what other programs do differently.
"""

import re
import sys

LINE = re.compile(r"parity\s+(?P<name>.*?)\s+error\s+(?P<error>\S+)\s+bound\s+(?P<bound>\S+)")
CHANGED = re.compile(r"changed (?P<name>.*?)\s+by (?P<difference>\S+) with (?P<setting>.*)")
RIVAL = re.compile(r"rival\s+(?P<name>.*) \| (?P<ours>.*) \| (?P<theirs>.*) \| (?P<difference>\S+)")
PIPELINES = "diffusers"
FAMILIES = {"sd15": ("Stable Diffusion 1.x", PIPELINES), "sd21": ("Stable Diffusion 2.x", PIPELINES),
            "sd21v": ("Stable Diffusion 2.x, v-prediction", PIPELINES), "sdxl": ("SDXL", PIPELINES),
            "ssd1b": ("SSD-1B", PIPELINES), "refiner": ("SDXL refiner", PIPELINES), "variations": ("SD image variations", PIPELINES),
            "pangu3": ("PanGu-Draw 3", "its second statement, tools/pangu_reference")}
TASKS = ("text to image", "image to image", "inpainting", "inpainting model", "controlnet", "LoRA",
         "textual inversion", "tiny autoencoder", "image prompt", "with refiner")
SINGLE = "single file"
PICTURE = re.compile(rf"picture: (?P<case>(?P<single>single )?(?P<family>{'|'.join(FAMILIES)}) "
                     rf"(?P<task>{'|'.join(TASKS)})(: .*)?)")
TEXT = """# What models are tested against

Written by `tools/parity_page.py` from what `./pangu-draw test parity` prints. [models.md](models.md) says which
checkpoints run and how.

Everything is compared with the reference libraries (diffusers, transformers, open_clip, NumPy, torch) on the
same random weights, seeds and noise, in f32. `./pangu-draw test parity` prints these lines again.

"""
PICTURES = """## Families and tasks

The worst error of the whole pictures of a family and a task; a dash where no picture is compared. Inpainting is
by blending of latents, an inpainting model has nine input channels. "single file" are the pictures for which this
program drew from one LDM `.safetensors` and the reference from the folder of the same weights.

"""
RIVALS = """## Whom we follow

diffusers, k-diffusion, A1111's web UI and ComfyUI do not draw the same picture from the same numbers. This is what
this program does in each case that is drawn, what others do instead, and the mean difference of bytes (of 255)
between the two pictures, over the tiny models with random weights; a released network differs by other amounts. A
picture is compared with diffusers after the choice in the second column was made there too.

ComfyUI begins at noise x sqrt(1 + sigma^2) where sigma is the last of the table, else at noise x sigma. A1111's
option "SGM noise multiplier" makes it begin as this program does, and its "quantization in K samplers" rounds t.

"""
WHOLE = """## Whole pictures

Same seed, same settings, `--noise torch-cpu`: the mean difference of bytes (of 255) from the PNG of diffusers'
own pipeline, with the choices of the table above; for PanGu-Draw 3, `--noise numpy` and the picture of its second
statement in Python. Every case is drawn again with another value of the setting that it is about: the last column is
how far that moves the picture, and the bound is at most a twentieth of it. Of several pictures at once the error is
that of the farthest one, each against the one that diffusers draws alone.

"""


def table_of(head, lines):
    text = f"| {' | '.join(head)} |\n" + "|---" * len(head) + "|\n"
    return text + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def pictures_of(found):
    """Returns (case, family, tasks, error, bound) of every picture; a name that is not understood is an error."""
    pictures = []
    for name, error, bound in found:
        if not name.startswith("picture: "):
            continue
        match = PICTURE.fullmatch(name)
        if not match:
            sys.exit(f"parity_page: '{name}': expected 'picture: [single ]FAMILY TASK[: DETAIL]', "
                     f"FAMILY of {', '.join(FAMILIES)}, TASK of {', '.join(TASKS)}")
        tasks = [match["task"]] + [SINGLE] * bool(match["single"])
        pictures.append((match["case"], match["family"], tasks, error, bound))
    return pictures


def table(pictures):
    """The table of families and tasks, with what each family is tested against."""
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
    printed = list(sys.stdin)
    found = [(m["name"], m["error"], m["bound"]) for m in map(LINE.search, printed) if m]
    if not found:
        sys.exit("parity_page: no line of the parity tests in the input")
    changed = {m["name"]: f"{m['difference']}: {m['setting']}" for m in map(CHANGED.search, printed) if m}
    rivals = [(m["name"], m["ours"], m["theirs"], m["difference"]) for m in map(RIVAL.search, printed) if m]
    pictures = pictures_of(found)
    # Files of tests run side by side, in any order.
    others = sorted(line for line in set(found) if not line[0].startswith("picture: "))
    print(TEXT + PICTURES + table(pictures) + RIVALS, end="")
    print(table_of(("case", "this program", "others", "difference"), rivals))
    print(WHOLE, end="")
    for family, (title, _) in FAMILIES.items():
        own = [(case, error, bound, changed.get(case, "-"))
               for case, of, _, error, bound in pictures if of == family]
        if own:
            print(f"### {title}\n\n{table_of(('case', 'error', 'bound', 'moved by'), own)}")
    print("## Networks, samplers, tokenizers, names\n\nGreatest difference over the greatest magnitude; of tokenizers "
          "and prompts, how many texts differ.\n")
    print(table_of(("case", "error", "bound"), others), end="")


if __name__ == "__main__":
    main()
