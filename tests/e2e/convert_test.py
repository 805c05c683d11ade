"""Converts tiny single files of every family; diffusers and the program must take the result for the source.

Usage: convert_test.py PROGRAM. Skipped (77) without diffusers.
"""

import json
import os
import math
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from program import PROGRAM, ROOT, reference_imports, run_as_user as run

with reference_imports("tools/parity", "tests"):
    import diffusers
    import numpy as np
    import torch
    import transformers
    import dump_checkpoints
    import sparse_files
    from PIL import Image

diffusers.utils.logging.set_verbosity_error()
transformers.utils.logging.set_verbosity_error()
FAST = ["--steps", "2", "--seed", "5", "--dtype", "f32", "--quiet", "--threads", "1"]
SMALL = ["--size", "64x64"]


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.int16)


def component(folder, library, name):
    kind = getattr({"diffusers": diffusers, "transformers": transformers}[library], name)
    return kind.from_pretrained(folder, torch_dtype=torch.float32).eval()


@torch.no_grad()
def outputs_of(model):
    """What a network computes for inputs of a fixed seed."""
    draws = torch.Generator().manual_seed(3)
    config = model.config
    if isinstance(model, diffusers.UNet2DConditionModel):
        added = {}
        if config.addition_embed_type == "text_time":
            numbers = (config.projection_class_embeddings_input_dim - 128) // 256
            added = {"text_embeds": torch.randn(1, 128, generator=draws),
                     "time_ids": torch.tensor([[64.0] * numbers])}
        return model(torch.randn(1, config.in_channels, 8, 8, generator=draws), 321.0,
                     torch.randn(1, 7, config.cross_attention_dim, generator=draws),
                     added_cond_kwargs=added).sample
    if isinstance(model, diffusers.AutoencoderKL):
        return model.decode(torch.randn(1, 4, 4, 4, generator=draws) / config.scaling_factor).sample
    if isinstance(model, transformers.CLIPVisionModelWithProjection):
        return model(torch.randn(1, 3, 224, 224, generator=draws)).image_embeds
    ids = torch.tensor([[49406, 320, 2368, 49407] + [49407] * 73])
    found = model(ids, output_hidden_states=True)
    states = [found.last_hidden_state, *found.hidden_states]
    if hasattr(found, "text_embeds"):
        states.append(found.text_embeds)
    return torch.cat([state.flatten() for state in states])


class Convert(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.made = {}

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def source(self, name):
        if name not in self.made:
            paths = dump_checkpoints.make_case(name, self.folder)
            # PanGu-Draw 3 is a folder with two files.
            self.made[name] = (self.folder / name if name == "pangu_draw_3" else paths["single"],
                               paths["folder"])
        return self.made[name]

    def convert(self, source, out, *arguments):
        done = run("convert", source, out, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out

    def draw(self, model, name, arguments):
        out = self.folder / f"{name}.png"
        done = run("draw", "a red (fox:1.3), snow", "--model", model, *FAST, *arguments, "--out", out, "--overwrite")
        self.assertEqual(done.returncode, 0, done.stderr)
        return pixels(out)

    def check_family(self, name, pipeline, arguments=SMALL):
        source, published = self.source(name)
        out = self.convert(source, self.folder / f"{name}.converted", "--dtype", "f32")
        index = json.loads((out / "model_index.json").read_text(encoding="utf-8"))
        self.assertEqual(index["_class_name"], pipeline)
        compared = 0
        for part, (library, kind) in [(k, v) for k, v in index.items() if isinstance(v, list) and v[0]]:
            if kind.endswith(("Scheduler", "Processor")):
                continue
            if kind.endswith("Tokenizer"):
                ours, theirs = (getattr(transformers, kind).from_pretrained(folder / part)
                                for folder in (out, published))
                for text in ("a Photo of  naïve cats, it's 12!", "一只狐狸 fox"):
                    self.assertEqual(ours(text)["input_ids"], theirs(text)["input_ids"], part)
                if kind == "CLIPTokenizer":
                    self.assertEqual(ours.pad_token_id, theirs.pad_token_id, part)
                    self.assertEqual(ours.pad_token_id,
                                     0 if part == "tokenizer_2" or name.startswith("sd2") else 49407)
                continue
            ours = outputs_of(component(out / part, library, kind))
            theirs = outputs_of(component(published / part, library, kind))
            self.assertLess(float((ours - theirs).abs().max() / theirs.abs().max()), 1e-6, part)
            compared += 1
        self.assertGreaterEqual(compared, 3)
        if pipeline != "PanGuDrawPipeline":
            loaded = diffusers.DiffusionPipeline.from_pretrained(out)
            self.assertEqual(type(loaded).__name__, pipeline)
        # Equal weights at other addresses: matrix libraries may round differently on unaligned ones.
        difference = np.abs(self.draw(source, "source", arguments) - self.draw(out, "converted", arguments))
        self.assertLess(difference.mean(), 0.02)
        self.assertLessEqual(difference.max(), 2)

    def test_stable_diffusion_1(self):
        self.check_family("sd1", "StableDiffusionPipeline")

    def test_stable_diffusion_2_that_predicts_v(self):
        self.check_family("sd2_v", "StableDiffusionPipeline")

    def test_sdxl(self):
        self.check_family("sdxl", "StableDiffusionXLPipeline")

    def test_the_refiner(self):
        self.check_family("sdxl_refiner", "StableDiffusionXLImg2ImgPipeline")

    def test_pangu_draw_3(self):
        self.check_family("pangu_draw_3", "PanGuDrawPipeline", ["--size", "256x960"])

    def test_half_of_a_pangu_draw_3_is_refused(self):
        pair, _ = self.source("pangu_draw_3")
        out = self.folder / "half_of_a_pair"
        lonely = self.folder / "lonely"
        lonely.mkdir()
        shutil.copy(pair / "pangu_high.ckpt", lonely)
        for source, words in ((pair / "pangu_low.ckpt", ["low", "high", "pangu-draw convert"]),
                              (lonely, ["low", "model_index.json", "pangu_high.ckpt"])):
            for done in (run("convert", source, out), run("draw", "a cat", "--model", source, *FAST, "--out", "no.png")):
                self.assertEqual(done.returncode, 2, done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)
            self.assertFalse(out.exists())

    def test_memory_is_bounded_by_a_tensor_whatever_the_files_hold(self):
        """A pair of released widths with one layer of each kind, without numbers: each file is larger than the bound."""
        def kept(name):
            layer = re.search(r"(?:transformer_blocks|resblocks|encoder\.layers)\.(\d+)\.", name)
            return not layer or layer[1] == "0"
        tensors = [(name, shape) for name, shape in sparse_files.released_tensors() if kept(name)]
        bound = 2 * 10**9 + 4 * max(math.prod(shape) for _, shape in tensors)
        pair = self.folder / "large"
        pair.mkdir()
        for half in ("low", "high"):
            sparse_files.write_mindspore(pair / f"pangu_{half}.ckpt", tensors)
            self.assertGreater((pair / f"pangu_{half}.ckpt").stat().st_size, bound)
        out = self.folder / "large.converted"
        child = subprocess.Popen([PROGRAM, "convert", pair, out, "--quiet"], stdout=subprocess.DEVNULL,
                                 env={**os.environ, "PANGU_HOME": str(ROOT)})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(child.returncode, 0)
        print(f"convert: peak {usage.ru_maxrss * 1024 / 1e9:.2f} GB of {bound / 1e9:.2f} GB")
        self.assertLess(usage.ru_maxrss * 1024, bound)
        shutil.rmtree(out)

    def picture(self):
        path = self.folder / "picture.png"
        if not path.exists():
            done = run("draw", "a red apple", "--steps", "1", "--quiet", "--size", "64x64", "--out", path)
            self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def test_inpainting(self):
        self.check_family("sd1_inpaint", "StableDiffusionInpaintPipeline",
                          [*SMALL, "--init-image", self.picture(), "--mask", self.picture()])

    def test_image_variations(self):
        self.check_family("image_variations", "StableDiffusionImageVariationPipeline",
                          [*SMALL, "--image-prompt", self.picture()])

    def test_a_folder_is_rewritten_in_another_type_and_keeps_its_own_files(self):
        _, published = self.source("sd1")
        out = self.convert(published, self.folder / "half", "--dtype", "f16")
        for name in ("tokenizer/vocab.json", "scheduler/scheduler_config.json"):
            self.assertEqual((out / name).read_bytes(), (published / name).read_bytes(), name)
        before, after = (sum(f.stat().st_size for f in folder.rglob("*.safetensors"))
                         for folder in (published, out))
        self.assertAlmostEqual(after / before, 0.5, delta=0.05)
        self.draw(out, "half", SMALL)

    def test_a_folder_with_files_is_kept_unless_forced(self):
        source, published = self.source("sd1")
        out = self.folder / "taken"
        out.mkdir()
        (out / "mine.txt").write_text("mine", encoding="utf-8")
        done = run("convert", source, out)
        self.assertEqual((done.returncode, sorted(p.name for p in out.iterdir())), (2, ["mine.txt"]))
        self.assertIn("--force", done.stderr)
        self.convert(source, out, "--force")
        self.assertTrue((out / "mine.txt").exists() and (out / "model_index.json").exists())
        shutil.copytree(out / "unet", out / "unet_texture")  # of another model, as it were
        self.convert(source, out, "--force")
        self.assertFalse((out / "unet_texture").exists())
        done = run("convert", published, published, "--force")
        self.assertEqual(done.returncode, 2)
        self.assertTrue((published / "model_index.json").exists())

    def test_what_is_no_model_is_refused_and_leaves_nothing(self):
        for source in (self.folder / "none.safetensors",
                       ROOT / "models/mini/vae/diffusion_pytorch_model.safetensors"):
            out = self.folder / "nothing"
            done = run("convert", source, out)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main()
