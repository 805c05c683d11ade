"""Draws with the embedded model through the built program, as a user would.

Usage: draw_test.py PROGRAM
"""

import json
import pathlib
import subprocess
import tempfile
import unittest

from png_file import png_chunks, png_pixels, png_rows
from program import PROGRAM, ROOT, multiplies_by_library, run

# Few steps: these tests ask whether it draws, not how well.
FAST = ["--steps", "4", "--quiet"]


def distance(a, b):
    """Mean difference between the bytes of two pictures."""
    rows, others = (b"".join(png_rows(path)[2]) for path in (a, b))
    return sum(abs(x - y) for x, y in zip(rows, others)) / len(rows)


class Draw(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def path(self, name):
        return self.folder / name

    def draw(self, name, *arguments):
        done = run("draw", *arguments, *FAST, "--out", self.path(name), "--overwrite")
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.path(name)

    def test_both_languages_give_a_picture_that_is_not_blank(self):
        for name, prompt in (("en.png", "a red apple, 3D render"), ("zh.png", "蓝色的鲸鱼,扁平图标")):
            size, rows = png_pixels(self.draw(name, prompt, "--seed", 1))
            self.assertEqual(size, (256, 256))
            self.assertGreater(len(set(rows)), 32)

    def test_every_shape_of_the_model_card(self):
        for size in ((192, 320), (320, 192), (384, 384)):
            found, _ = png_pixels(self.draw("s.png", "a cat", "--size", f"{size[0]}x{size[1]}", "--seed", 1))
            self.assertEqual(found, size)

    def test_a_picture_repeats_from_its_own_file_and_at_any_place_of_a_count(self):
        self.draw("many.png", "a dog", "--seed", 7, "--count", 3)
        alone = self.draw("alone.png", "a dog", "--seed", 9)
        # It shared its forwards with others, whose sums may be made in another order.
        drawn, single = png_pixels(self.path("many-2.png")), png_pixels(alone)
        self.assertEqual(drawn[0], single[0])
        if multiplies_by_library():
            # It rounds every product anew: less than bf16 and f32 differ by.
            exact = self.draw("exact.png", "a dog", "--seed", 9, "--dtype", "f32")
            self.assertLess(distance(self.path("many-2.png"), alone), distance(exact, alone) / 2)
        else:
            differing = sum(a != b for a, b in zip(drawn[1], single[1]))
            self.assertLessEqual(differing, len(single[1]) // 50)
        done = run("draw", "--from", self.path("many-2.png"), "--quiet", "--out", self.path("again.png"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.path("again.png").read_bytes(), alone.read_bytes())

    def test_prompt_negative_style_and_seed_each_change_the_picture(self):
        base = png_pixels(self.draw("a.png", "a dog", "--seed", 1))
        for extra in (["a cat", "--seed", 1], ["a dog", "--seed", 2], ["a dog", "--seed", 1, "--negative", "fur"],
                      ["a dog", "--seed", 1, "--style", "flat"]):
            self.assertNotEqual(base, png_pixels(self.draw("b.png", *extra)), extra)

    def test_the_request_is_inside_the_file(self):
        texts = [body for kind, body in png_chunks(self.draw("a.png", "一只猫", "--seed", 5)) if kind in (b"tEXt", b"iTXt")]
        self.assertTrue(any(b"parameters" in t and "一只猫".encode() in t for t in texts))
        self.assertTrue(any(b"Seed: 5" in t for t in texts))

    def test_the_plan_gives_the_noisy_half_to_the_structure_generator(self):
        done = run("draw", "a cat", "--plan", "--json", "--steps", 10)
        self.assertEqual(done.returncode, 0, done.stderr)
        steps = json.loads(done.stdout)["steps"]
        self.assertEqual(len(steps), 10)
        for step in steps:
            self.assertEqual(step["expert"], "structure" if step["t_index"] >= 500 else "texture")

    def test_the_distilled_model_draws_its_teachers_things_in_six_steps_without_guidance(self):
        done = run("draw", "a cat", "--model", "mini_turbo", "--plan", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        steps = json.loads(done.stdout)["steps"]
        self.assertEqual([s["expert"] for s in steps], ["structure"] * 3 + ["texture"] * 3)
        self.assertEqual([round(s["t_index"]) for s in steps[::3]], [999, 500])
        drawn = {}
        for model in ("mini", "mini_turbo"):
            for name, prompt in (("apple", "a red apple, 3D render"), ("whale", "蓝色的鲸鱼,扁平图标")):
                drawn[model, name] = self.path(f"{model}-{name}.png")
                done = run("draw", prompt, "--model", model, "--seed", 3, "--quiet", "--out", drawn[model, name])
                self.assertEqual(done.returncode, 0, done.stderr)
        for name, other in (("apple", "whale"), ("whale", "apple")):
            near = distance(drawn["mini_turbo", name], drawn["mini", name])
            self.assertLess(near, 0.6 * distance(drawn["mini_turbo", name], drawn["mini", other]))

    def test_the_spacing_is_asked_for_by_flag_and_repeats_from_the_file(self):
        def first(*arguments):
            done = run("draw", *arguments, "--plan", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)["steps"][0]["t_index"]
        flags = ["a cat", "--steps", 4, "--schedule", "normal", "--sampler", "euler"]
        found = [round(first(*flags, "--spacing", name)) for name in ("leading", "linspace", "trailing")]
        self.assertEqual(found, [751, 999, 999])
        self.assertEqual(round(first(*flags)), 999)  # this model's own is trailing
        drawn = self.draw("leading.png", *flags[:1], *flags[3:], "--spacing", "leading")
        self.assertEqual(round(first("--from", drawn)), 751)

    def test_json_names_the_file_and_the_seconds(self):
        done = run("draw", "a cat", *FAST, "--json", "--seed", 3, "--out", self.path("j.png"))
        found = json.loads(done.stdout)
        self.assertEqual(found["files"][0]["seed"], 3)
        self.assertIn("structure", found["seconds"])

    def test_wrong_input_exits_with_2_and_says_what_and_why(self):
        for arguments, words in (
            (["a cat", "--size", "100x90"], ["width", "64", "128"]),
            (["a cat", "--size", "big"], ["size"]),
            (["a cat", "--steps", "0"], ["steps"]),
            (["a cat", "--sampler", "magic"], ["sampler", "euler"]),
            (["a cat", "--spacing", "even"], ["spacing", "leading", "trailing"]),
            (["a cat", "--model", str(self.folder)], ["model_index.json"]),
            (["a cat", "--out", "x.gif"], [".png"]),
            (["a cat", "--no-such-flag"], ["no-such-flag"]),
            (["--from", PROGRAM], [f"reading '{PROGRAM}'"]),
            ([], []),
        ):
            done = run("draw", *arguments, "--quiet")
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)

    def test_a_damaged_model_is_an_error_not_a_crash(self):
        broken = self.path("broken")
        subprocess.run(["cp", "-r", ROOT / "models/mini", broken], check=True)
        weights = broken / "unet/diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        done = run("draw", "a cat", *FAST, "--model", broken, "--out", self.path("x.png"))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertFalse(self.path("x.png").exists())


if __name__ == "__main__":
    unittest.main()
