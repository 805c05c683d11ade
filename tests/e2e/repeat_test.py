"""A picture repeats its drawing, or says why not: models, adapters and input files of --from, wherever they are by now;
pictures of A1111's web UI and of ComfyUI; and our own text as other programs read it.

Usage: repeat_test.py PROGRAM. Skipped (77) without diffusers. Models are tiny, with random weights.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from program import ROOT, reference_imports, run

with reference_imports("tools/parity", "tools"):
    from PIL import Image, PngImagePlugin
    from flag_models import make_models

QUIET = ["--threads", "1", "--quiet", "--overwrite"]
SMALL = ["--size", "96x64", "--steps", "2", "--seed", "5", "--dtype", "f32"]
# The rules by which the web UI reads its settings, as its documentation and source state them.
SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def web_settings(text):
    """{name: value} of the last line of a text of the web UI."""
    settings = {}
    for name, value in SETTING.findall(text.strip().split("\n")[-1]):
        settings[name] = json.loads(value) if value[:1] == value[-1:] == '"' else value
    return settings


class Repeat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.models = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        make_models(cls.models)

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.environment = {**os.environ, "PANGU_HOME": str(ROOT), "XDG_CACHE_HOME": str(self.folder / "cache")}

    def run_program(self, *words):
        """Words that begin with @ are files of the tiny models' folder."""
        named = [str(word).replace("@", f"{self.models}/", 1) if str(word).startswith("@") else str(word)
                 for word in words]
        return run(*named, environment=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL)

    def draw(self, name, *words, command="draw"):
        """What was said on standard error but for the seed, and that the pictures are small."""
        done = self.run_program(command, *words, *QUIET, "--out", name)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [line for line in done.stderr.splitlines() if not re.search("^seed |is far from", line)]

    def refused(self, words, *arguments, code=2):
        done = self.run_program("draw", *arguments, *QUIET, "--out", "refused.png")
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse((self.folder / "refused.png").exists())

    def pixels(self, name):
        return hashlib.sha256(Image.open(self.folder / name).convert("RGB").tobytes()).hexdigest()

    def repeats(self, name, *flags):
        """Without a warning."""
        self.assertEqual(self.draw("again.png", "--from", name, *flags), [])
        self.assertEqual(self.pixels("again.png"), self.pixels(name))

    def write_png(self, name, **text):
        info = PngImagePlugin.PngInfo()
        for key, value in text.items():
            info.add_itxt(key, value)
        Image.new("RGB", (64, 64)).save(self.folder / name, pnginfo=info)
        return name

    def test_the_model_is_taken_over(self):
        self.draw("l.png", "a cat", "--model", "models/low", "--steps", 2, "--seed", 1)
        self.repeats("l.png")
        self.draw("m.png", "a cat", "--steps", 2, "--seed", 1, "--size", 128)
        self.repeats("m.png")

    def test_all_that_was_loaded_with_the_model_is_taken_over(self):
        sd15, sdxl = ["--model", "@sd15"], ["--model", "@sdxl"]
        alone = {}
        for name, model, flags in (
                ("plain", sd15, []), ("dtype", sd15, ["--dtype", "bf16"]),
                ("lora", sd15, ["--lora", "@loras/lora0.safetensors:0.5", "--lora", "@loras/lora1.safetensors"]),
                ("vae", sd15, ["--vae", "@taesd"]), ("tiles", sd15, ["--size", "192x128", "--vae-tile", "64"]),
                ("embedding", sd15, ["--embedding", "@hat.safetensors"]),
                ("net", sd15, ["--controlnet", "@net0", "--control-image", "@picture0.png,weight=0.7,to=0.8",
                               "--controlnet", "@net1", "--control-image", "@picture1.png"]),
                ("start", sd15, ["--init-image", "@picture0.png", "--strength", "0.6"]),
                ("refiner", sdxl, ["--steps", "3", "--refiner", "@refiner", "--refiner-start", "0.4"])):
            with self.subTest(name):
                words = dict(zip(SMALL[::2], SMALL[1::2])) | dict(zip(flags[::2], flags[1::2]))
                once = [item for pair in words.items() if pair[0] in SMALL for item in pair]
                more = [item for i in range(0, len(flags), 2) if flags[i] not in SMALL for item in flags[i:i + 2]]
                self.draw(f"{name}.png", "a cat with a hat", *model, *once, *more)
                alone[name] = self.pixels(f"{name}.png")
                self.repeats(f"{name}.png")
        self.assertEqual(len(set(alone.values())), len(alone))

    def test_a_lora_of_the_prompt_needs_its_folder_only_once(self):
        self.draw("a.png", "a cat<lora:lora0:0.5>", "--lora-dir", "@loras", "--model", "@sd15", *SMALL)
        self.repeats("a.png")
        self.draw("b.png", "--from", "a.png", "--prompt", "a cat<lora:lora1:0.5>", "--lora-dir", "@loras")
        self.draw("c.png", "a cat<lora:lora1:0.5>", "--lora-dir", "@loras", "--model", "@sd15", *SMALL)
        self.assertEqual(self.pixels("b.png"), self.pixels("c.png"))

    def test_flags_go_before_the_picture(self):
        lora = "@loras/lora{}.safetensors"
        self.draw("a.png", "a cat", "--model", "@sd15", *SMALL, "--lora", lora.format(0))
        self.draw("b.png", "--from", "a.png", "--lora", lora.format(1), "--seed", 6)
        self.draw("c.png", "a cat", "--model", "@sd15", *SMALL[:4], "--seed", 6, *SMALL[6:], "--lora", lora.format(1))
        self.assertEqual(self.pixels("b.png"), self.pixels("c.png"))

    def test_a_model_is_found_by_its_weights_or_asked_for(self):
        moved = self.folder / "models/renamed"
        self.draw("a.png", "a cat", "--model", "@sd15", *SMALL)
        shutil.copytree(self.models / "sd15", self.folder / "sd15")
        self.draw("here.png", "a cat", "--model", "sd15", *SMALL)
        (self.folder / "models").mkdir()
        (self.folder / "sd15").rename(moved)
        self.repeats("here.png")
        (self.folder / "far").mkdir()
        moved.rename(self.folder / "far/sd15")
        self.refused(["sd15", "fingerprint", "--model"], "--from", "here.png")
        self.environment["PANGU_MODELS"] = str(self.folder / "shelf")
        (self.folder / "shelf").mkdir()
        (self.folder / "far/sd15").rename(self.folder / "shelf/sd15")
        self.repeats("here.png")
        unet = self.folder / "shelf/sd15/unet/diffusion_pytorch_model.safetensors"
        unet.write_bytes(unet.read_bytes()[:-4] + b"\1\2\3\4")
        self.refused(["other weights of this name", "--model"], "--from", "here.png")
        self.draw("other.png", "--from", "here.png", "--model", "shelf/sd15")

    def test_input_files_are_found_beside_the_picture_and_changes_are_told(self):
        (self.folder / "in").mkdir()
        (self.folder / "out").mkdir()
        shutil.copy(self.models / "picture0.png", self.folder / "in/start.png")
        self.draw("out/a.png", "a cat", "--model", "@sd15", *SMALL, "--init-image", "in/start.png", "--strength", 0.5)
        self.repeats("out/a.png")
        (self.folder / "far").mkdir()
        for name in ("in", "out"):
            (self.folder / name).rename(self.folder / "far" / name)
        self.repeats("far/out/a.png")
        start = self.folder / "far/in/start.png"
        shutil.copy(self.models / "picture1.png", start)
        said, = self.draw("b.png", "--from", "far/out/a.png")
        self.assertIn("far/in/start.png", said)
        self.assertIn("SHA-256", said)
        self.assertNotEqual(self.pixels("b.png"), self.pixels("far/out/a.png"))
        start.unlink()
        self.refused(["start.png"], "--from", "far/out/a.png", code=3)
        self.assertEqual(self.draw("c.png", "--from", "far/out/a.png", "--init-image", "@picture0.png"), [])
        self.assertEqual(self.pixels("c.png"), self.pixels("far/out/a.png"))
        lora = self.folder / "ink.safetensors"
        shutil.copy(self.models / "loras/lora0.safetensors", lora)
        self.draw("d.png", "a cat", "--model", "@sd15", *SMALL, "--lora", "ink.safetensors")
        shutil.copy(self.models / "loras/lora1.safetensors", lora)
        said, = self.draw("e.png", "--from", "d.png")
        self.assertIn("ink.safetensors", said)

    def test_models_that_drew_together_draw_together_again(self):
        member = ["--with", "models/low,prompt=a dog,weight=0.3"]
        self.draw("w.png", "a cat", "--steps", 2, "--seed", 1, "--size", 128, *member)
        self.repeats("w.png")
        self.draw("again.png", "--from", "w.png", command="coop")
        self.assertEqual(self.pixels("again.png"), self.pixels("w.png"))
        self.draw("v.png", "--from", "w.png", "--prompt", "a pig")
        self.assertNotEqual(self.pixels("v.png"), self.pixels("w.png"))

    def test_a_picture_of_the_web_ui_is_drawn(self):
        text = ("a (red:1.2) fox\nNegative prompt: blurry\nSteps: 2, Sampler: DPM++ 2M Karras, CFG scale: 5, Seed: 7, "
                "Size: 96x64, Model hash: 6ce0161689, Model: {}, RNG: CPU, Clip skip: 2, Hires sampler: DDIM")
        name = self.write_png("web.png", parameters=text.format("sd15"))
        self.refused(["sd15", "--model"], "--from", name)
        self.environment["PANGU_MODELS"] = str(self.models)
        said, = self.draw("a.png", "--from", name, "--dtype", "f32")
        self.assertIn("Hires sampler: DDIM", said)
        self.draw("b.png", "a (red:1.2) fox", "--negative", "blurry", "--steps", 2, "--sampler", "dpmpp_2m", "--schedule",
                  "karras", "--guidance", 5, "--seed", 7, "--size", "96x64", "--noise", "torch-cpu", "--clip-skip", 2,
                  "--model", "@sd15", "--dtype", "f32")
        self.assertEqual(self.pixels("a.png"), self.pixels("b.png"))
        self.refused(["--model", "which model"], "--from", self.write_png("none.png", parameters=text.split(", Model")[0]))
        self.refused(["says nothing"], "--from", self.write_png("empty.png"))

    def test_the_second_pass_of_the_web_ui_is_drawn_and_told_with_its_names(self):
        self.environment["PANGU_MODELS"] = str(self.models)
        name = self.write_png("web.png", parameters=(
            "a fox\nSteps: 4, Sampler: Euler, Schedule type: Karras, CFG scale: 5, Seed: 7, Size: 96x64, Model: sd15, "
            "RNG: CPU, Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 4, Hires upscaler: Lanczos"))
        self.assertEqual(self.draw("a.png", "--from", name, "--dtype", "f32"), [])
        self.draw("b.png", "a fox", "--steps", 4, "--sampler", "euler", "--schedule", "karras", "--guidance", 5, "--seed", 7,
                  "--size", "96x64", "--noise", "torch-cpu", "--hires-scale", 1.5, "--hires-strength", 0.5, "--model",
                  "@sd15", "--dtype", "f32")
        self.assertEqual(Image.open(self.folder / "a.png").size, (144, 96))
        self.assertEqual(self.pixels("a.png"), self.pixels("b.png"))
        found = web_settings(Image.open(self.folder / "b.png").text["parameters"])
        self.assertEqual({key: value for key, value in found.items() if key.startswith(("Hires", "Denoising"))},
                         {"Denoising strength": "0.5", "Hires upscale": "1.5", "Hires steps": "4",
                          "Hires upscaler": "Lanczos"})

    def test_a_grid_repeats_itself_or_gives_one_picture(self):
        for name, model, grid in (("one", ["--model", "@sd15"], "steps=1,2 guidance=1,5"),
                                  ("models", [], f"model={self.models / 'sd15'},mini steps=1,2"),
                                  ("together", ["--with", "models/low,weight=0.3"], "guidance=1,5 steps=1,2")):
            with self.subTest(grid=name):
                self.draw(f"{name}.png", "a cat", *model, "--seed", 5, "--size", 128, "--dtype", "f32", "--grid", grid)
                self.repeats(f"{name}.png")
        self.draw("cell.png", "--from", "one.png", "--grid", "none", "--steps", 2, "--guidance", 5)
        self.draw("alone.png", "a cat", "--model", "@sd15", "--seed", 5, "--size", 128, "--dtype", "f32", "--steps", 2,
                  "--guidance", 5)
        self.assertEqual(self.pixels("cell.png"), self.pixels("alone.png"))
        self.refused(["--model", "--grid none"], "--from", "models.png", "--model", "mini")

    def test_a_picture_of_comfy_is_drawn(self):
        def node(kind, **inputs):
            return {"class_type": kind, "inputs": inputs}
        graph = {"1": node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
                 "2": node("CLIPTextEncode", text="a fox", clip=["1", 1]),
                 "3": node("CLIPTextEncode", text="blurry", clip=["1", 1]),
                 "4": node("EmptyLatentImage", width=96, height=64, batch_size=1),
                 "5": node("KSampler", seed=7, steps=2, cfg=5.0, sampler_name="euler_ancestral", scheduler="normal",
                           denoise=1.0, model=["1", 0], positive=["2", 0], negative=["3", 0], latent_image=["4", 0]),
                 "6": node("FaceDetailer", image=["5", 0])}
        self.environment["PANGU_MODELS"] = str(self.models)
        said, = self.draw("a.png", "--from", self.write_png("c.png", prompt=json.dumps(graph)), "--dtype", "f32")
        self.assertIn("FaceDetailer", said)
        self.draw("b.png", "a fox", "--negative", "blurry", "--steps", 2, "--sampler", "euler_a", "--schedule", "normal",
                  "--guidance", 5, "--seed", 7, "--size", "96x64", "--noise", "torch-cpu", "--model", "@sd15", "--dtype",
                  "f32")
        self.assertEqual(self.pixels("a.png"), self.pixels("b.png"))

    def test_our_settings_are_read_by_the_web_uis_rules(self):
        shutil.copytree(self.models / "sd15", self.folder / "my model, CFG scale: 99, x")
        self.draw("a.png", "a cat, \"sat\": so", "--negative", "x", "--model", "my model, CFG scale: 99, x", *SMALL,
                  "--sampler", "dpmpp_2m", "--schedule", "karras", "--lora", "@loras/lora0.safetensors:0.5",
                  "--init-image", "@picture0.png", "--strength", 0.5)
        text = Image.open(self.folder / "a.png").text["parameters"]
        found = web_settings(text)
        lora = (self.models / "loras/lora0.safetensors").read_bytes()
        tensors = lora[8 + int.from_bytes(lora[:8], "little"):]
        self.assertEqual({key: found[key] for key in found if key not in ("Model hash", "Version", "CFG scale")}, {
            "Steps": "2", "Sampler": "DPM++ 2M Karras", "Schedule type": "Karras", "Seed": "5", "Size": "96x64",
            "Model": "my model, CFG scale: 99, x", "Denoising strength": "0.5",
            "Lora hashes": "lora0: " + hashlib.sha256(tensors).hexdigest()[:12]})
        self.assertRegex(found["Model hash"], "^[0-9a-f]{10}$")
        self.assertEqual(text.split("\n")[:2], ["a cat, \"sat\": so<lora:lora0:0.5>", "Negative prompt: x"])

    def test_inspect_prints_the_request_readably(self):
        self.draw("a.png", "a cat", "--model", "@sd15", *SMALL, "--lora", "@loras/lora0.safetensors:0.5")
        said = self.run_program("inspect", "a.png").stdout
        for line in (r"^by +this program$", r"^  prompt +a cat$", r"^  steps +2$", r"^  name +sd15$", r"lora0.*:0\.5"):
            self.assertRegex(said, re.compile(line, re.M))
        self.assertNotIn("{", said)
        found = json.loads(self.run_program("inspect", "a.png", "--json").stdout)
        self.assertEqual(found["drawing"]["request"]["steps"], 2)
        name = self.write_png("w.png", parameters="a cat\nSteps: 2, Sampler: Euler a, Seed: 7, Hires sampler: DDIM")
        said = self.run_program("inspect", name).stdout
        for line in (r"A1111", r"^  sampler +euler_a$", r"Hires sampler: DDIM"):
            self.assertRegex(said, re.compile(line, re.M))


if __name__ == "__main__":
    unittest.main()
