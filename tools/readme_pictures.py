"""Draws the pictures of the README: a grid of the embedded model's pictures, and examples/*.toml, with each member
alone and together.

Usage: readme_pictures.py PROGRAM FOLDER   (a Python with Pillow; writes mini_grid.webp and coop_examples.webp)
"""

import pathlib
import subprocess
import sys
import tempfile
import tomllib

from PIL import Image, ImageDraw

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
SIDE, WIDE, LINE = 256, 384, 18
SEED = 3
PROMPTS = ("a red apple, 3D render", "蓝色的鲸鱼,扁平图标", "a grinning face, 3D render", "a cat, flat icon",
           "a fox, 3D render", "a castle, flat icon", "一辆自行车,扁平图标", "a guitar, 3D render")


def draw(program, folder, *arguments):
    out = pathlib.Path(folder) / "picture.png"
    subprocess.run([program, *map(str, arguments), "--out", out, "--overwrite", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    with Image.open(out) as picture:
        return picture.convert("RGB")


def alone(program, folder, recipe, member):
    arguments = ["draw", member.get("prompt", recipe["prompt"]), "--model", member["model"], "--seed", recipe["seed"]]
    if "control_image" in member:
        arguments += ["--control-image", EXAMPLES / member["control_image"]]
    if "image_prompt" in member:
        arguments += ["--image-prompt", EXAMPLES / member["image_prompt"]]
    return draw(program, folder, *arguments)


def row_of(program, folder, path):
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    cells = []
    for member in recipe["member"]:
        for key in ("control_image", "image_prompt"):
            if key in member:
                with Image.open(EXAMPLES / member[key]) as given:
                    cells.append((member[key], given.convert("RGB")))
        cells.append((f"{member['name']} alone", alone(program, folder, recipe, member)))
    for width in (SIDE, WIDE):
        cells.append((f"{path.stem}, {width}x{SIDE}", draw(program, folder, "coop", path, "--size", f"{width}x{SIDE}")))
    return recipe["prompt"], cells


def mini_grid(program, folder):
    across = len(PROMPTS) // 2
    page = Image.new("RGB", (across * SIDE, 2 * SIDE), "white")
    for number, prompt in enumerate(PROMPTS):
        page.paste(draw(program, folder, "draw", prompt, "--seed", SEED), (number % across * SIDE, number // across * SIDE))
    return page


def coop_examples(program, folder):
    rows = [row_of(program, folder, EXAMPLES / f"{name}.toml")
            for name in ("text_edges", "text_variation", "low_high", "three")]
    width = max(sum(WIDE if "384" in label else SIDE for label, _ in cells) for _, cells in rows)
    page = Image.new("RGB", (width, len(rows) * (SIDE + LINE)), "white")
    pen = ImageDraw.Draw(page)
    for number, (prompt, cells) in enumerate(rows):
        x, y = 0, number * (SIDE + LINE)
        for label, picture in cells:
            size = (WIDE if picture.width > picture.height else SIDE, SIDE)
            page.paste(picture.resize(size, Image.Resampling.BICUBIC), (x, y + LINE))
            pen.text((x + 4, y + 3), f"{label}: {prompt}" if label.startswith("text alone") else label, fill="black")
            x += size[0]
    return page


def main(program, out):
    with tempfile.TemporaryDirectory() as folder:
        for make in (mini_grid, coop_examples):
            make(program, folder).save(pathlib.Path(out) / f"{make.__name__}.webp", quality=85)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
