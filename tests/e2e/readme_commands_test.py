"""Every command of the README, in its order, in a folder where tiny files have the names of the user's.

Usage: readme_commands_test.py PROGRAM. Skipped (77) without diffusers. `draw` and `train` get flags that make them
short; the commands of the launcher (build, test, package) have tests of their own (house_launcher, house_install).
"""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import urllib.request

from program import PROGRAM, ROOT, reference_imports, run_as_user

with reference_imports("tools/parity"):
    import dump_checkpoints
    from PIL import Image
sys.argv.append(PROGRAM)  # which readme_test takes
sys.path.append(str(ROOT / "tests/house"))
import readme_test  # noqa: E402

SHORT = {"draw": ["--steps", "2"], "train": ["--steps", "1"]}
# Of the user's models, which are tiny here: a picture of their own size would take them minutes.
SMALL = ["--size", "128x128"]
CHECKPOINTS = {"v1-5-pruned-emaonly.safetensors": "sd1", "sd15.safetensors": "sd1", "sd_xl_base_1.0.safetensors": "sdxl",
               "sd_xl_refiner_1.0.safetensors": "sdxl_refiner", "pixel_art.safetensors": "lora_kohya_sd1"}


def make_files(folder: pathlib.Path) -> None:
    made = {}
    for name, case in [*CHECKPOINTS.items(), ("control_canny", "controlnet_sd1"),
                       ("pangu_draw_3_checkpoints", "pangu_draw_3")]:
        if case not in made:
            made[case] = dump_checkpoints.make_case(case, folder / "made")
        part = folder / "made/pangu_draw_3" if case == "pangu_draw_3" else made[case][
            "folder" if case.startswith("controlnet") else "single"]
        (folder / name).symlink_to(part)
    for name in ("examples", "models", "configs"):
        (folder / name).symlink_to(ROOT / name)
    fox = Image.open(ROOT / "examples/fox.png").convert("RGB")
    fox.resize((128, 128)).save(folder / "photo.png")
    fox.resize((256, 256)).save(folder / "my_photo.jpg")
    Image.open(ROOT / "examples/fox_edges.png").resize((128, 128)).save(folder / "edges.png")
    mask = Image.new("L", (128, 128))
    mask.paste(255, (32, 32, 96, 96))
    mask.save(folder / "hole.png")
    (folder / "my_pictures").mkdir()
    for number in range(4):
        fox.resize((256, 256)).rotate(90 * number).save(folder / f"my_pictures/{number}.png")
        (folder / f"my_pictures/{number}.txt").write_text("a fox\n", encoding="utf-8")


def serves(words: list[str], folder: pathlib.Path) -> None:
    """The server says its address, answers there, and ends when it is told to."""
    with subprocess.Popen([PROGRAM, *words, "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, env={**os.environ, "PANGU_HOME": str(ROOT)}) as server:
        said = next((line for line in server.stdout if "http://" in line), "")
        address = "http://" + said.split("http://")[1].strip()
        try:
            with urllib.request.urlopen(address + "/healthz", timeout=30) as answer:
                assert answer.status == 200, answer.status
            with urllib.request.urlopen(address, timeout=30) as page:
                assert b"PanGu-Draw" in page.read(), "no page"
        finally:
            server.terminate()
        assert server.wait(timeout=30) == 0, server.returncode


def main() -> int:
    commands = readme_test.commands((ROOT / "README.md").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_files(folder)
        ran = 0
        for words in commands:
            if words[0] in readme_test.LAUNCHER_WORDS:
                continue
            if words[0] == "serve":
                serves(words, folder)
                print("ran: ./pangu-draw " + shlex.join(words), flush=True)
                continue
            more = [] if "--steps" in words else list(SHORT.get(words[0], []))
            if words[0] == "draw" and words[-1] != "out/mine" and "--model" in words and "--init-image" not in words:
                more += SMALL
            done = run_as_user(*words, *more, cwd=folder, stdin=subprocess.DEVNULL)
            assert done.returncode == 0, (shlex.join([*words, *more]), done.stderr)
            print("ran: ./pangu-draw " + shlex.join([*words, *more]), flush=True)
            ran += 1
        assert ran > 12, ran
        assert (folder / "out/mine/model_index.json").exists() and (folder / "pangu-draw-3/model_index.json").exists()
    return 0


if __name__ == "__main__":
    sys.exit(main())
