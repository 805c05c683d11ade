"""Converts tiny single files of every family to folders, and folders to single files; diffusers and the program must
take the result for the source.

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
    from safetensors import safe_open
    from safetensors.torch import load_file

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

    def check_same_tensors(self, got, want, what):
        self.assertEqual(sorted(got), sorted(want), what)
        for name, value in want.items():
            self.assertEqual((got[name].dtype, got[name].shape), (value.dtype, value.shape), f"{what}: {name}")
            self.assertTrue(torch.equal(got[name], value), f"{what}: {name}")

    def folder_tensors(self, folder):
        return {f"{path.parent.name}.{name}": value for path in sorted(folder.rglob("*.safetensors"))
                for name, value in load_file(path).items()}

    def single_tensors(self, path):
        """The components' tensors, and what stands in the file beside them."""
        tensors = load_file(path)
        extra = {name: value for name, value in tensors.items()
                 if name in ("v_pred", "ztsnr") or name.endswith("position_ids")}
        return {name: value for name, value in tensors.items() if name not in extra}, extra

    def check_single(self, name, pipeline, dtype, architecture, prediction="epsilon", arguments=SMALL, spare=None):
        """Folder -> file is compared with the file that ldm_inverse.py wrote, file -> folder with the folder, byte for
        byte. spare: the prefix of a layer that the folder does not have, and that of the one that it is a copy of."""
        reference, published = self.source(name)
        out = self.convert(published, self.folder / f"{name}.single.safetensors", "--dtype", dtype)
        got, extra = self.single_tensors(out)
        want = {key: value for key, value in load_file(reference).items()
                if not key.startswith(("model_ema.", "alphas_")) and not key.endswith(("logit_scale", "position_ids"))}
        if spare:
            made, copied = spare
            want.pop(made.split("transformer.")[0] + "text_projection")
            for key in [key for key in want if key.startswith(made)]:
                want[key] = want[copied + key.removeprefix(made)]
        self.check_same_tensors(got, want, name)

        ids = {key: value for key, value in extra.items() if key.endswith("position_ids")}
        towers = [key for key in got if key.endswith("position_embedding.weight")]
        self.assertEqual(sorted(ids), sorted(key.replace("embedding.weight", "ids") for key in towers))
        for value in ids.values():
            self.assertTrue(torch.equal(value, torch.arange(77)[None]))
        self.assertEqual("v_pred" in extra, prediction == "v")
        with safe_open(out, "pt") as file:
            metadata = file.metadata()
        self.assertEqual((metadata["modelspec.architecture"], metadata["modelspec.prediction_type"]),
                         (architecture, prediction))

        kind = getattr(diffusers, pipeline)
        ours = kind.from_single_file(str(out), config=str(published), local_files_only=True)
        theirs = kind.from_pretrained(published)
        compared = 0
        for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
            if getattr(theirs, part, None) is None:
                continue
            states = [getattr(pipe, part).float().state_dict() for pipe in (ours, theirs)]
            self.check_same_tensors(*states, f"{name} in diffusers: {part}")
            compared += 1
        self.assertGreaterEqual(compared, 3)

        again = self.convert(out, self.folder / f"{name}.again", "--dtype", dtype)
        self.check_same_tensors(self.folder_tensors(again), self.folder_tensors(published), f"{name} as a folder again")
        # Equal weights at other addresses: matrix libraries may round differently on unaligned ones.
        difference = np.abs(self.draw(published, "folder", arguments) - self.draw(out, "single", arguments))
        self.assertLess(difference.mean(), 0.02)
        self.assertLessEqual(difference.max(), 2)

    def test_a_folder_of_stable_diffusion_1_as_one_file(self):
        self.check_single("sd1", "StableDiffusionPipeline", "f32", "stable-diffusion-v1")

    def test_a_folder_of_an_inpainting_model_as_one_file(self):
        self.check_single("sd1_inpaint", "StableDiffusionInpaintPipeline", "f32", "stable-diffusion-v1",
                          arguments=[*SMALL, "--init-image", self.picture(), "--mask", self.picture()])

    def test_folders_of_stable_diffusion_2_as_one_file(self):
        layers = "cond_stage_model.model.transformer.resblocks."
        for name, architecture, prediction in (("sd2", "stable-diffusion-v2-512", "epsilon"),
                                               ("sd2_v", "stable-diffusion-v2-768-v", "v")):
            with self.subTest(name):
                self.check_single(name, "StableDiffusionPipeline", "f16", architecture, prediction,
                                  spare=(layers + "3.", layers + "2."))

    def test_folders_of_sdxl_and_its_refiner_as_one_file(self):
        self.check_single("sdxl", "StableDiffusionXLPipeline", "f16", "stable-diffusion-xl-v1-base")
        self.check_single("sdxl_refiner", "StableDiffusionXLImg2ImgPipeline", "bf16", "stable-diffusion-xl-v1-refiner")

    def changed_folder(self, name, file, **keys):
        """A copy of Stable Diffusion 1's folder whose configuration says other things."""
        folder = self.folder / name
        shutil.copytree(self.source("sd1")[1], folder)
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | keys), encoding="utf-8")
        return folder

    def test_a_single_file_says_what_its_network_predicts_and_of_zero_terminal_snr(self):
        folder = self.changed_folder("v_of_sd1", "scheduler/scheduler_config.json", prediction_type="v_prediction",
                                     rescale_betas_zero_snr=True, timestep_spacing="trailing")
        out = self.convert(folder, self.folder / "v_of_sd1.safetensors", "--dtype", "f32")
        extra = self.single_tensors(out)[1]
        self.assertEqual((extra["v_pred"].numel(), extra["ztsnr"].numel()), (0, 0))
        difference = np.abs(self.draw(folder, "folder", SMALL) - self.draw(out, "single", SMALL))
        self.assertLess(difference.mean(), 0.02)
        self.assertLessEqual(difference.max(), 2)

    def test_what_a_single_file_cannot_say_is_refused(self):
        pair = self.source("pangu_draw_3")[0]
        cases = [(pair, ["one denoiser", "two experts"]), (ROOT / "models/low", ["Stable Diffusion 1.x or 2.x"])]
        scheduler = "scheduler/scheduler_config.json"
        for name, file, keys, words in (
                ("predicts_x0", scheduler, {"prediction_type": "sample"}, ["epsilon or v", "sample"]),
                ("other_betas", scheduler, {"beta_end": 0.02}, ["betas"]),
                ("other_heads", "unet/config.json", {"attention_head_dim": 4}, ["attention_head_dim", "8", "4"]),
                ("other_scale", "vae/config.json", {"scaling_factor": 0.5}, ["scaling_factor", "0.18215", "0.5"]),
                ("other_act", "text_encoder/config.json", {"hidden_act": "gelu"}, ["hidden_act", "quick_gelu"])):
            cases.append((self.changed_folder(name, file, **keys), words))
        for folder, words in cases:
            with self.subTest(folder.name):
                out = self.folder / f"refused_{folder.name}.safetensors"
                done = run("convert", folder, out)
                self.assertEqual(done.returncode, 2, done.stderr)
                for word in [*words, "folder"]:
                    self.assertIn(word, done.stderr)
                self.assertFalse(out.exists())

    def test_a_file_that_is_there_is_replaced_only_by_force(self):
        single, published = self.source("sd1")
        out = self.folder / "there.safetensors"
        out.write_text("mine", encoding="utf-8")
        done = run("convert", published, out)
        self.assertEqual((done.returncode, out.read_text(encoding="utf-8")), (2, "mine"))
        self.assertIn("--force", done.stderr)
        self.convert(published, out, "--force", "--dtype", "f16")
        self.assertEqual({value.dtype for value in self.single_tensors(out)[0].values()}, {torch.float16})
        before = single.read_bytes()
        done = run("convert", single, single, "--force")
        self.assertEqual((done.returncode, single.read_bytes() == before), (2, True))
        # One file of another.
        again = self.convert(single, self.folder / "again.safetensors", "--dtype", "f16")
        self.check_same_tensors(self.single_tensors(again)[0], self.single_tensors(out)[0], "file of a file")

    def test_training_writes_the_file_that_other_programs_open(self):
        published = self.source("sd1")[1]
        pictures = self.folder / "pictures"
        pictures.mkdir()
        rng = np.random.default_rng(4)
        for i, caption in enumerate(("a red fox", "a blue house")):
            small = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
            small.resize((64, 64), Image.BICUBIC).save(pictures / f"{i}.png")
            (pictures / f"{i}.txt").write_text(caption, encoding="utf-8")

        def train(out, steps, code=0, model=published, **more):
            keys = {"resolution": 64, "enable_bucket": "false", "mixed_precision": '"no"', "learning_rate": 0.01,
                    "lr_warmup_steps": 0, "save_precision": '"float"', "train_batch_size": 2, **more}
            sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
            done = run("train", "--finetune", model, "--data", pictures, "--out", self.folder / out, "--steps", steps, "-q",
                       *sets)
            self.assertEqual(done.returncode, code, (done.stdout, done.stderr))
            return done.stderr

        train("trained", 1)
        train("trained.again.safetensors", 1)
        single = self.folder / "trained.again.safetensors"
        self.convert(single, self.folder / "trained_as_folder", "--dtype", "f32")
        trained = self.folder_tensors(self.folder / "trained")
        got = self.folder_tensors(self.folder / "trained_as_folder")
        for tensors in (trained, got):  # checkpoints and caches
            for key in [key for key in tensors if not key.startswith(("unet.", "vae.", "text_encoder."))]:
                tensors.pop(key)
        self.check_same_tensors(got, trained, "a training into a file and into a folder")
        untrained = self.folder_tensors(published)
        self.assertGreater((got["unet.conv_in.weight"] - untrained["unet.conv_in.weight"]).abs().max(), 1e-3)
        difference = np.abs(self.draw(self.folder / "trained", "folder", SMALL) - self.draw(single, "single", SMALL))
        self.assertLess(difference.mean(), 0.02)
        # The same command goes on.
        before = single.read_bytes()
        train("trained.again.safetensors", 2)
        self.assertNotEqual(single.read_bytes(), before)
        taken = self.folder / "taken.safetensors"
        taken.write_bytes(before)
        self.assertIn("model_output", train("taken.safetensors", 1, code=2))
        self.assertEqual(taken.read_bytes(), before)
        self.assertIn("both halves", train("half.safetensors", 1, code=2, expert='"texture"', min_image_size=0))
        self.assertIn("a folder", train("own.safetensors", 1, code=2, model=ROOT / "models/low"))
        two = train("two.safetensors", 1, code=2, model=self.source("pangu_draw_3")[0], resolution=512, min_image_size=0)
        self.assertIn("two experts", two)

    def test_what_is_no_model_is_refused_and_leaves_nothing(self):
        for source in (self.folder / "none.safetensors",
                       ROOT / "models/mini/vae/diffusion_pytorch_model.safetensors"):
            out = self.folder / "nothing"
            done = run("convert", source, out)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main()
