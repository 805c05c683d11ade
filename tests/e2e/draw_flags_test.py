"""What `draw` takes beside a model: every flag that names a file or changes how it is read changes the picture (or, where
it only saves memory, does not), and a wrong file is refused with the reason.

Usage: draw_flags_test.py PROGRAM. Skipped (77) without diffusers. Models are tiny, with random weights.
"""

import hashlib
import json
import pathlib
import shutil
import tempfile
import unittest

from program import reference_imports, run_as_user

with reference_imports("tools/parity", "tools"):
    from PIL import Image
    from flag_models import make_models

PROMPT = "a cat with a hat"
FAST = ["--seed", "5", "--dtype", "f32", "--threads", "1", "--quiet"]


class DrawFlags(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        make_models(cls.folder)
        cls.alone = cls.draw()

    @classmethod
    def run_draw(cls, *flags, prompt=PROMPT, model="sd15", size="96x64", steps=2):
        """Flags that begin with @ are files of the test's folder."""
        named = [str(cls.folder / flag[1:]) if str(flag).startswith("@") else str(flag) for flag in flags]
        return run_as_user(
            "draw", prompt, "--model", cls.folder / model, "--size", size, "--steps", str(steps), *FAST,
            *named, "--out", cls.folder / "out.png", "--overwrite")

    @classmethod
    def draw(cls, *flags, **more):
        """What tells the picture's pixels from others'."""
        done = cls.run_draw(*flags, **more)
        assert done.returncode == 0, (flags, done.stderr)
        return hashlib.sha256(Image.open(cls.folder / "out.png").tobytes()).hexdigest()

    def refused(self, words, *flags, code=2, **more):
        done = self.run_draw(*flags, **more)
        self.assertEqual(done.returncode, code, f"{flags}: {done.stderr}")
        for word in words:
            self.assertIn(word, done.stderr, flags)

    def check_all_differ(self, pictures):
        self.assertEqual(len(set(pictures)), len(pictures))

    def test_a_picture_without_a_size_has_the_side_that_the_network_was_trained_at(self):
        shutil.copytree(self.folder / "sd15", self.folder / "small")
        config = self.folder / "small/unet/config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 12}))
        done = run_as_user("draw", PROMPT, "--model", self.folder / "small", "--steps", "1", *FAST,
                           "--out", self.folder / "out.png", "--overwrite")
        self.assertEqual((done.returncode, done.stderr.replace("seed 5", "").strip()), (0, ""))
        self.assertEqual(Image.open(self.folder / "out.png").size, (96, 96))

    def test_reused_features_change_the_picture_and_an_interval_of_one_does_not(self):
        def reusing(words, *flags):
            return self.draw(*flags, "--reuse-features", words, steps=4)

        whole = self.draw(steps=4)
        self.assertEqual([reusing("off"), reusing("1,depth=2")], [whole, whole])
        self.check_all_differ([whole, reusing("on"), reusing("2,depth=2"), reusing("2,order=0"), reusing("4")])
        control = ["--controlnet", "@net0", "--control-image", "@picture0.png"]
        self.check_all_differ([self.draw(*control, steps=4), reusing("2", *control), reusing("2,depth=3", *control)])
        self.refused(["reuse_features", "depth"], "--reuse-features", "2,dept=1")
        self.refused(["reuse_features", "depth", "99"], "--reuse-features", "2,depth=99")

    def test_controlnets_their_pictures_weights_and_ranges(self):
        one = ["--controlnet", "@net0", "--control-image"]
        two = [*one, "@picture0.png", "--controlnet", "@net1", "--control-image"]
        self.check_all_differ([
            self.alone, self.draw(*one, "@picture0.png"), self.draw(*one, "@picture1.png"),
            self.draw(*one, "@picture0.png,weight=0.5"), self.draw(*one, "@picture0.png,to=0.5"),
            self.draw(*two, "@picture1.png")])
        self.assertEqual(self.draw(*one, "@picture0.png,weight=0"), self.alone)
        self.assertEqual(self.draw(*two, "@picture1.png,weight=0"), self.draw(*one, "@picture0.png"))
        self.refused(["control pictures", "expected 1", "found 0"], *one[:2])
        self.refused(["control range"], *one, "@picture0.png,from=0.5,to=0.2")
        self.refused(["ControlNet", "Stable Diffusion 1", "SDXL"], "--controlnet", "@net_xl", *one[2:], "@picture0.png")
        self.refused(["ControlNet", "LoRA"], "--controlnet", "@loras/lora0.safetensors", *one[2:], "@picture0.png")

    def test_devices_are_named_as_libtorch_names_them_and_one_that_is_missing_says_why(self):
        for wrong in ("gpu", "cuda:", "cuda:one", "cuda:é", "cuda:-1", "cudalot"):
            self.refused(["device", wrong, "cuda:N"], "--device", wrong)
        self.refused(["device", "cuda:99", "Hint"], "--device", "cuda:99", code=4)

    def test_loras_by_flag_and_from_the_prompt(self):
        first, second = "@loras/lora0.safetensors", "@loras/lora1.safetensors"
        strong, weak = self.draw("--lora", first), self.draw("--lora", f"{first}:0.5")
        both = self.draw("--lora", f"{first}:0.5", "--lora", f"{second}:-0.3")
        self.check_all_differ([self.alone, strong, weak, both])
        self.assertEqual(self.draw("--lora", f"{first}:0"), self.alone)
        tagged = {"prompt": f"{PROMPT}<lora:lora0:0.5>"}
        self.assertEqual(self.draw("--lora-dir", "@loras", **tagged), weak)
        self.refused(["lora0", "--lora-dir"], **tagged)
        self.refused(["none.safetensors"], "--lora-dir", "@loras", prompt="a cat <lora:none:1>", code=3)
        self.refused(["weight", "strong"], "--lora", f"{first}:strong")
        self.refused(["lora0", "context width 160", "context width 64", "lora_unet_down_blocks_0_attentions_0"],
                     "--lora", first, model="sdxl")
        self.refused(["expected a LoRA", "found Stable Diffusion 1"], "--lora", "@net0/diffusion_pytorch_model.safetensors")

    def test_an_embedding_gives_its_word_a_meaning(self):
        word, plain = {"prompt": "a cat with a hat in snow"}, {"prompt": "a cat in snow"}
        flags = ["--embedding", "@hat.safetensors"]
        self.assertNotEqual(self.draw(*flags, **word), self.draw(**word))
        self.assertEqual(self.draw(*flags, **plain), self.draw(**plain))
        self.refused(["width 64", "48"], "--embedding", "@wide.safetensors")
        self.refused(["a textual inversion", "LoRA"], "--embedding", "@loras/lora0.safetensors")

    def test_a_refiner_draws_the_last_steps(self):
        sdxl = {"model": "sdxl", "steps": 3}
        alone = self.draw(**sdxl)
        late, early = (self.draw("--refiner", "@refiner", "--refiner-start", start, **sdxl) for start in (0.7, 0.3))
        self.check_all_differ([alone, late, early])
        self.refused(["SDXL's refiner", "SDXL"], "--refiner", "@sdxl", model="sdxl")
        self.refused(["SDXL's refiner", "Stable Diffusion 1"], "--refiner", "@refiner")
        self.refused(["refiner start", "1.5"], "--refiner", "@refiner", "--refiner-start", "1.5", model="sdxl")

    def test_other_autoencoders_and_tiles(self):
        large = {"size": "192x128"}
        self.check_all_differ([self.alone, self.draw("--vae", "@vae"), self.draw("--vae", "@taesd")])
        self.assertNotEqual(self.draw("--vae-tile", 64, **large), self.draw(**large))
        self.assertEqual(self.draw("--vae-tile", 256, **large), self.draw(**large))
        self.refused(["an autoencoder", "LoRA"], "--vae", "@loras/lora0.safetensors")
        self.refused(["--vae-tile", "64"], "--vae-tile", 8)

    def test_one_expert_in_memory_draws_the_same(self):
        pangu = {"model": "pangu", "size": "256x960", "steps": 4}  # the second one draws the last
        whole = self.draw("--experts-in-memory", 0, **pangu)
        self.assertEqual(self.draw("--experts-in-memory", 1, **pangu), whole)
        self.refused(["--experts-in-memory", "-1"], "--experts-in-memory", -1)

    def test_packed_weights_have_a_folder_that_small_models_leave_alone(self):
        folder = self.folder / "packed"
        self.assertEqual(self.draw("--packed-weights", folder), self.alone)
        self.assertEqual(self.draw("--packed-weights", "off"), self.alone)
        self.assertFalse(folder.exists())
        self.refused(["--packed-weights", "auto, off or a folder"], "--packed-weights", "")

    def test_a_file_may_have_commas_in_its_name(self):
        name = "picture 0, of many,weight=7.png"
        shutil.copy(self.folder / "picture0.png", self.folder / name)
        shutil.copytree(self.folder / "sd15", self.folder / "sd15, again")
        one = ["--controlnet", "@net0", "--control-image"]
        usual = self.draw(*one, "@picture0.png")
        self.assertEqual(self.draw(*one, "@" + name), usual)
        self.assertEqual(self.draw(*one, f"@{name},weight=0.5"), self.draw(*one, "@picture0.png,weight=0.5"))
        together = self.draw("--with", "@sd15,weight=0.3,prompt=a dog, asleep")
        self.assertNotEqual(together, self.alone)
        self.assertEqual(self.draw("--with", "@sd15, again,weight=0.3,prompt=a dog, asleep"), together)

    def test_coop_takes_the_flags_of_draw(self):
        recipe = self.folder / "two.toml"

        def coop(*flags, hub="", dog="prompt = 'a dog'"):
            recipe.write_text(f"prompt = '{PROMPT}'\nsize = '96x64'\nsteps = 2\n[[member]]\nmodel = 'sd15'\nhub = true\n"
                              f"weight = 0.5\n{hub}\n[[member]]\nname = 'dog'\nmodel = 'sd15'\nweight = 0.5\n{dog}\n")
            named = [str(self.folder / flag[1:]) if flag.startswith("@") else flag for flag in flags]
            done = run_as_user("coop", recipe, *named, *FAST, "--overwrite", "--out", self.folder / "coop.png")
            self.assertEqual(done.returncode, 0, f"{flags}: {done.stderr}")
            return hashlib.sha256(Image.open(self.folder / "coop.png").tobytes()).hexdigest()

        usual = coop()
        for flags, key in (
                (["--lora", "@loras/lora0.safetensors:0.5"], "lora = 'loras/lora0.safetensors:0.5'"),
                (["--vae", "@vae"], "vae = 'vae'"),
                (["--controlnet", "@net0", "--control-image", "@picture0.png"],
                 "controlnet = 'net0'\ncontrol_image = 'picture0.png'")):
            told = coop(*flags)
            self.assertNotEqual(told, usual, flags)
            self.assertEqual(told, coop(hub=key), flags)
        self.assertEqual(coop("a dog"), coop("--prompt", "a dog"))
        self.assertNotEqual(coop("--with", "@sd15,weight=0.5,prompt=a bird"), usual)

    def test_a_file_that_is_not_there_is_named(self):
        self.refused(["nowhere.safetensors"], model="nowhere.safetensors")
        self.refused(["nowhere.safetensors"], "--refiner", "@nowhere.safetensors", model="sdxl")
        for flag in ("--vae", "--controlnet", "--lora", "--embedding"):
            self.refused(["nowhere.safetensors"], flag, "@nowhere.safetensors", model="sdxl", code=3)


if __name__ == "__main__":
    unittest.main()
