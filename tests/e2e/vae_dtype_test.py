"""The type that the autoencoder computes in: its error in bf16, its defaults, and that a picture carries it.

Usage: vae_dtype_test.py PROGRAM
"""

import json
import pathlib
import shutil
import tempfile
import unittest

from autoencoders import write_vae_changed_in
from png_file import png_rows
from program import BARE, ROOT, run

MODEL = ROOT / "models/mini"
PROMPTS = ("a red apple, 3D render", "a castle, flat icon", "a fox, 3D render", "蓝色的鲸鱼,扁平图标")
FAST = ("--seed", "3", "--steps", "4", "--quiet", "--threads", "1")
PLAIN = BARE | {"PANGU_KERNELS": "plain"}  # as on a processor for which there are no kernels


class VaeDtype(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def draw(self, name, *flags, command="draw", environment=BARE):
        out = self.folder / f"{name}.png"
        done = run(command, *flags, *FAST, "-o", out, environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return b"".join(png_rows(out)[2])

    def error(self, prompt, environment):
        exact = self.draw("exact", prompt, "--dtype", "f32", "--overwrite", environment=environment)
        rough = self.draw("rough", prompt, "--dtype", "f32", "--vae-dtype", "bf16", "--overwrite",
                          environment=environment)
        return sum(abs(a - b) for a, b in zip(exact, rough)) / len(exact)

    def test_bf16_costs_the_embedded_model_less_than_one_level_and_kernels_make_it_less(self):
        # The bounds on which the defaults rest (FamilySpec::vae_follows_dtype and rounds_products).
        for prompt in PROMPTS:
            plain, usual = self.error(prompt, PLAIN), self.error(prompt, BARE)
            print(f"bf16 autoencoder, '{prompt}': mean error {plain:.2f} of 255, here {usual:.2f}")
            self.assertGreater(usual, 0)
            self.assertLess(plain, 1.0)
            # A sharp decoder enlarges what is rounded before it, with kernels and without.
            self.assertTrue(usual == plain or usual < plain / 2, (usual, plain))

    def test_own_autoencoders_follow_the_type_unless_they_force_f32(self):
        both = self.draw("both", "fox", "--dtype", "bf16")
        self.assertEqual(both, self.draw("asked", "fox", "--dtype", "bf16", "--vae-dtype", "bf16"))
        exact = self.draw("exact", "fox", "--dtype", "bf16", "--vae-dtype", "f32", environment=PLAIN)
        self.assertNotEqual(exact, self.draw("rough", "fox", "--dtype", "bf16", environment=PLAIN))
        forced = self.folder / "forced"
        shutil.copytree(MODEL, forced)
        config = json.loads((forced / "vae/config.json").read_text())
        (forced / "vae/config.json").write_text(json.dumps(config | {"force_upcast": True}))
        self.assertEqual(exact, self.draw("forced", "fox", "--dtype", "bf16", "--model", forced, environment=PLAIN))

    def test_a_picture_says_the_type_and_is_repeated_with_it(self):
        exact = self.draw("exact", "fox", "--dtype", "bf16", "--vae-dtype", "f32")
        repeated = self.draw("repeated", "--dtype", "bf16", "--from", self.folder / "exact.png")
        self.assertEqual(exact, repeated)
        other = self.draw("other", "--dtype", "bf16", "--vae-dtype", "bf16", "--from", self.folder / "exact.png")
        self.assertNotEqual(exact, other)

    def test_bridges_of_several_models_compute_in_the_type(self):
        # The members' autoencoders differ, so that latents go from one into the other through pixels.
        write_vae_changed_in(self.folder / "vae", "encoder.")
        recipe = self.folder / "recipe.toml"
        recipe.write_text('prompt = "a fox"\nsize = "128"\nbridge = "exact"\n[[member]]\nname = "a"\nhub = true\n'
                          '[[member]]\nname = "b"\nvae = "vae"\n')
        usual = self.draw("usual", recipe, "--dtype", "f32", command="coop")
        self.assertEqual(usual, self.draw("f32", recipe, "--dtype", "f32", "--vae-dtype", "f32", command="coop"))
        rough = self.draw("bf16", recipe, "--dtype", "f32", "--vae-dtype", "bf16", command="coop")
        self.assertNotEqual(usual, rough)
        again = self.draw("again", "--from", self.folder / "bf16.png", "--dtype", "f32", command="coop")
        self.assertEqual(rough, again)


if __name__ == "__main__":
    unittest.main()
