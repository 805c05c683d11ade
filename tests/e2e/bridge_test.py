"""Learned bridges as a person meets them: trained from pictures, found, picked and used by coop.

The second latent space is that of the embedded model's autoencoder with another encoder (by one bit) and scaling_factor.

Usage: bridge_test.py PROGRAM
"""

import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unittest

from autoencoders import write_vae_changed_in
from png_file import png_painted
from program import PROGRAM, ROOT

MINI = ROOT / "models/mini"
FOLDERS = ("A-to-B", "B-to-A")


def png(width, height, seed):
    """Discs of random colours."""
    draw = random.Random(seed)
    colours = [bytes(draw.randrange(256) for _ in range(3)) for _ in range(3)]
    discs = [(draw.uniform(0.2, 0.8) * width, draw.uniform(0.2, 0.8) * height, draw.uniform(0.1, 0.3) * width)
             for _ in range(2)]

    def colour(x, y):
        for (x0, y0, r), inside in zip(discs, colours[1:]):
            if (x - x0) ** 2 + (y - y0) ** 2 < r * r:
                return inside
        return colours[0]

    return png_painted(width, height, colour)


def run(*arguments, home=ROOT, cwd=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd,
                          env={**os.environ, "PANGU_HOME": str(home), "OMP_NUM_THREADS": "1"})


def rescaled_mini(folder):
    """Another latent space: nearly the embedded model's, at half the scale."""
    folder.mkdir()
    for part in MINI.iterdir():
        if part.name != "vae":
            (folder / part.name).symlink_to(part)
    write_vae_changed_in(folder / "vae", "encoder.")
    config = json.loads((MINI / "vae/config.json").read_text())
    config["scaling_factor"] *= 0.5
    (folder / "vae/config.json").write_text(json.dumps(config))
    return folder


class Bridge(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.path = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        pictures = cls.path / "pictures/inside"
        pictures.mkdir(parents=True)
        for i in range(12):
            (pictures / f"{i}.png").write_bytes(png(96, 64 + 8 * (i % 5), i))
        (pictures / "broken.png").write_bytes(png(64, 64, 99)[:70])
        (pictures / "notes.txt").write_text("no picture\n")
        cls.other = rescaled_mini(cls.path / "other")
        cls.out = cls.path / "bridge_test"
        cls.trained = run("train-bridge", MINI, cls.other, "--images", cls.path / "pictures", "--out", cls.out,
                          "--resolution", "64", "--pairs", "64", "--steps", "80", "--batch", "8",
                          "--learning-rate", "1e-2", "--hidden-channels", "16", "--blocks", "2", "--seed", "3",
                          "--json", "-q")
        cls.recipe = cls.path / "two.toml"
        cls.recipe.write_text('prompt = "a red apple"\nsize = "64x64"\nsteps = 2\nseed = 5\n'
                              f'[[member]]\nname = "mini"\nmodel = "{MINI}"\nhub = true\n'
                              f'[[member]]\nname = "other"\nmodel = "{cls.other}"\nsize = "64x64"\n')

    def assert_learned(self, bridge, folder):
        """Picked, and told with what its training measured."""
        self.assertEqual(bridge[0], "learned")
        self.assertRegex(bridge[1], f"^{re.escape(str(folder))}, [0-9.]+ dB on held-out pictures [(]exact: [0-9.]+[)]$")

    def bridges(self, *arguments, home=ROOT):
        """Kind of every bridge in the plan, by direction, and by what."""
        done = run("coop", self.recipe, "--plan", "--json", *arguments, home=home)
        self.assertEqual(done.returncode, 0, done.stderr)
        return {f"{b['from']} to {b['to']}": (b["kind"], b["by"])
                for b in json.loads(done.stdout)["stages"][0]["bridges"]}

    def test_a_training_writes_both_directions_and_says_how_good_they_are(self):
        self.assertEqual(self.trained.returncode, 0, self.trained.stderr)
        self.assertIn("broken", self.trained.stderr)
        result = json.loads(self.trained.stdout)
        self.assertEqual((result["pairs"], result["steps"]), (64, 80))
        for name in FOLDERS:
            config = json.loads((self.out / name / "config.json").read_text())
            self.assertEqual(config["_class_name"], "LatentConverter")
            self.assertEqual((config["from_channels"], config["to_channels"]), (16, 16))
            self.assertEqual({config["from_name"], config["to_name"]}, {"mini", "other"})
            self.assertNotEqual(config["from_space"], config["to_space"])
            self.assertGreater((self.out / name / "diffusion_pytorch_model.safetensors").stat().st_size, 1000)
            # One is half the other: the linear path finds that, and training must not lose it.
            self.assertLess(result[name]["linear"]["relative_error"], 0.15)
            self.assertLess(result[name]["trained"]["relative_error"], 0.15)
            self.assertGreater(result[name]["trained"]["psnr_db"], 25)
            found = {key: result[name][key]["psnr_db"] for key in ("linear", "trained", "refitted")}
            self.assertEqual(found[result[name]["kept"]], max(found.values()))
            self.assertEqual(config["training"], result[name])
        forth, back = (json.loads((self.out / name / "config.json").read_text()) for name in FOLDERS)
        self.assertEqual((forth["from_space"], forth["to_space"]), (back["to_space"], back["from_space"]))
        for a, b in zip(forth["from_std"], forth["to_std"]):
            self.assertAlmostEqual(b / a, 0.5, delta=0.02)

    def test_coop_picks_it_says_so_and_draws_with_it(self):
        for folder in (self.out, self.out / "A-to-B"):
            forth = self.bridges("--bridge", "auto", "--bridges", folder)["mini to other"]
            self.assert_learned(forth, self.out / "A-to-B")
        found = self.bridges("--bridge", "learned", "--bridges", self.out)
        self.assertEqual({kind for kind, _ in found.values()}, {"learned"})
        self.assertEqual(self.bridges()["mini to other"][0], "exact")
        self.assertEqual(self.bridges("--bridge", "exact", "--bridges", self.out)["mini to other"][0], "exact")
        pictures = {}
        for bridge in ("learned", "exact"):
            picture = self.path / f"{bridge}.png"
            done = run("coop", self.recipe, "--bridge", bridge, "--bridges", self.out, "--out", picture, "--json", "-q")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("bridge mini to other", json.loads(done.stdout)["seconds"])
            pictures[bridge] = picture.read_bytes()
        self.assertNotEqual(pictures["learned"], pictures["exact"])

    def test_a_bridge_beside_the_embedded_models_is_found(self):
        home = self.path / "home"
        (home / "models/bridges").mkdir(parents=True)
        for part in (ROOT / "models").iterdir():
            if part.name != "bridges":
                (home / "models" / part.name).symlink_to(part)
        (home / "models/bridges/bridge_mini_other").symlink_to(self.out)
        self.assert_learned(self.bridges(home=home)["mini to other"], home / "models/bridges/bridge_mini_other/A-to-B")

    def test_a_training_that_made_it_worse_is_not_kept(self):
        out = self.path / "worse"
        train = ["train-bridge", MINI, self.other, "--images", self.path / "pictures", "--out", out, "--resolution", "64",
                 "--pairs", "24", "--steps", "3", "--batch", "4", "--learning-rate", "1", "--hidden-channels", "8",
                 "--blocks", "2", "--seed", "3", "-q"]
        done = run(*train)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in FOLDERS:
            training = json.loads((out / name / "config.json").read_text())["training"]
            found = {key: training[key]["psnr_db"] for key in ("linear", "trained", "refitted")}
            self.assertLess(found["trained"] or 0, found["linear"])  # None: not a number
            self.assertEqual(found[training["kept"]], max(value for value in found.values() if value is not None))
            self.assertIn(training["kept"] + ", kept", done.stdout)
            note = f"{name}: training came out worse than the linear fit, which is kept"
            self.assertEqual(note in done.stdout, training["kept"] == "linear", done.stdout)
        picked = self.bridges("--bridge", "learned", "--bridges", out)["mini to other"]
        training = json.loads((out / "A-to-B/config.json").read_text())["training"]
        self.assertIn(f"{training[training['kept']]['psnr_db']:.1f} dB", picked[1])

    def test_what_is_wrong_exits_with_2_and_is_named(self):
        empty = self.path / "empty"
        empty.mkdir()
        train = ["train-bridge", MINI, self.other, "--images", self.path / "pictures", "--out", self.path / "no"]

        def with_images(images):
            return [*train[:4], images, *train[5:]]

        for arguments, words in (
            (train[:2], ["B"]),
            ([train[0], MINI, self.path / "nowhere", *train[3:]], ["nowhere"]),
            ([train[0], MINI, MINI, *train[3:]], ["two latent spaces", "--sizes"]),
            ([train[0], MINI / "vae", self.other / "vae", *train[3:]], ["--sizes"]),
            (with_images(self.path / "nowhere"), ["--images", "nowhere"]),
            (with_images(empty), ["empty"]),
            ([*train, "--sizes", "256,128"], ["--sizes", "A=PIXELS,B=PIXELS"]),
            ([*train, "--sizes", "A=256,B=0"], ["--sizes"]),
            ([*train, "--resolution", "64", "--sizes", "A=64,B=64"], ["--sizes"]),
            ([*train, "--minutes", "0"], ["--minutes"]),
            ([*train, "--steps", "0"], ["--steps"]),
            ([*train, "--learning-rate", "2"], ["--learning-rate"]),
            ([*train, "--optimizer", "sgd"], ["sgd", "muon"]),
            ([*train, "--dtype", "f8"], ["dtype", "f8"]),
            (["coop", self.recipe, "--bridge", "learned", "--plan"], ["mini", "other", "train-bridge"]),
            (["coop", self.recipe, "--bridges", self.path / "nowhere", "--plan"], ["nowhere", "train-bridge"]),
            (["coop", self.recipe, "--bridges", MINI / "vae", "--plan"], ["LatentConverter", "AutoencoderKL"]),
        ):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)


if __name__ == "__main__":
    unittest.main(verbosity=2)
