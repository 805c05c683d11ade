"""Draws recipes of several models through the built program, as a user would; and wrong ones.

Usage: coop_test.py PROGRAM
"""

import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv.pop(1)
FAST = ["--quiet", "--threads", "1", "--dtype", "f32"]
MUTATIONS = 60  # of a recipe, each one start of the program
TWO = """prompt = "a red apple, 3D render"
size = "128"
steps = 2
seed = 1
[[member]]
name = "a"
hub = true
[[member]]
name = "b"
prompt = "a blue whale"
"""


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True,
                          env={"PANGU_HOME": str(ROOT), "PATH": "/usr/bin:/bin"}, check=False)


def pixels(path):
    """The unpacked rows: equal for equal pictures."""
    data, at, rows = pathlib.Path(path).read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            rows += data[at + 8 : at + 8 + size]
        at += 12 + size
    return zlib.decompress(rows)


class Coop(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return pathlib.Path(self.folder.name) / name

    def recipe(self, text):
        self.path("r.toml").write_text(text, encoding="utf-8")
        return self.path("r.toml")

    def ok(self, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def coop(self, name, text, *arguments):
        self.ok("coop", self.recipe(text), *FAST, *arguments, "--out", self.path(name))
        return pixels(self.path(name))

    def test_a_recipe_draws_and_repeats_from_its_own_file(self):
        both = self.coop("a.png", TWO)
        self.ok("coop", "--from", self.path("a.png"), *FAST, "--out", self.path("b.png"))
        self.assertEqual(self.path("a.png").read_bytes(), self.path("b.png").read_bytes())
        self.assertNotEqual(both, self.coop("c.png", TWO + "weight = 0\n"))
        self.assertNotEqual(both, self.coop("d.png", TWO + "weight = 0.2\n"))
        self.assertNotEqual(both, self.coop("e.png", TWO + "to = 0.5\n"))

    def test_the_plan_says_who_counts_when(self):
        table = self.ok("coop", self.recipe(TWO + "to = 0.5\n"), "--plan")
        self.assertIn("a (hub)", table)
        plan = json.loads(self.ok("coop", self.recipe(TWO + "to = 0.5\n"), "--plan", "--json"))
        weights = [step["weights"] for step in plan["stages"][0]["steps"]]
        self.assertEqual(weights, [[0.5, 0.5], [1.0, 0.0]])

    def test_draw_with_another_is_the_recipe_of_both(self):
        self.ok("draw", "a red apple, 3D render", "--size", "128", "--steps", 2, "--seed", 1, *FAST,
                "--with", ",weight=0.5,prompt=a blue whale, flat", "--out", self.path("w.png"))
        recipe = TWO.replace("hub = true", "hub = true\nweight = 0.5").replace("whale", "whale, flat")
        self.assertEqual(pixels(self.path("w.png")), self.coop("r.png", recipe + "weight = 0.5\n"))

    def test_without_weight_for_the_others_it_is_plain_drawing(self):
        for sampler, noise in (("euler", "torch-cpu"), ("euler_a", "numpy"), ("dpmpp_2m", "philox"),
                               ("dpmpp_sde", "torch-cpu"), ("heun", "philox")):
            self.ok("draw", "a red apple, 3D render", "--size", "128", "--steps", 2, "--seed", 1, *FAST,
                    "--sampler", sampler, "--noise", noise, "--out", self.path("p.png"))
            shared = f'sampler = "{sampler}"\nnoise = "{noise}"\n'
            self.assertEqual(pixels(self.path("p.png")), self.coop("c.png", shared + TWO + "weight = 0\n"), sampler)

    def test_wrong_recipes_are_refused_in_one_line_that_names_the_member(self):
        image = self.path("wide.png")
        self.coop("wide.png", TWO, "--size", "192x128")
        stage = '[[stage]]\nmembers = ["{}"]\nuntil = "{}"\n'
        last = '[[stage]]\nmembers = ["a"]\n'
        for text, words in (
            (TWO + "hub = true\n", ["one hub", "'a'", "'b'"]),
            (TWO.replace("hub = true", ""), ["hub"]),
            (TWO + "colour = 1\n", ["'b'", "'colour'"]),
            (TWO + "steps = 3\n", ["'b'", "steps"]),
            (TWO + "guidance = 'much'\n", ["'b'", "guidance"]),
            (TWO + "weight = -1\n", ["'b'", "weight"]),
            (TWO.replace("hub = true", "hub = true\nto = 0.5") + "to = 0.5\n", ["none at sigma"]),
            (TWO + "from = 0.6\nto = 0.7\n", ["'b'"]),
            (TWO + f'mask = "{image}"\n', ["'b'", "mask", "192x128"]),
            (TWO + 'mask = "missing.png"\n', ["'b'", "missing.png"]),
            (TWO + 'size = "100x90"\n', ["'b'", "width"]),
            (TWO + 'model = "no/such/model"\n', ["no/such/model"]),
            (TWO + 'image_prompt = "x.png"\n', ["'b'", "image_prompt"]),
            (TWO + 'control_image = "x.png"\n', ["'b'", "control_image"]),
            ('control_image = "x.png"\n' + TWO, ["control_image"]),
            (TWO + 'name = "a"\n', []),
            (TWO + stage.format("c", "t=500") + last, ["stage 1", "'c'"]),
            (TWO + stage.format("b", "t=500") + stage.format("b", "t=600") + last, ["fall"]),
            (TWO + stage.format("b", "often") + last, ["often"]),
            (TWO + stage.format("b", "t=1e9") + last, ["t=1e9"]),
            (TWO + stage.format("b", "") + last, ["until"]),
            (TWO + stage.format("b", "t=500") + stage.format("a", "t=100"), ["last stage"]),
            (TWO + stage.format("a", "t=500") + '[[stage]]\nmembers = ["b"]\n', ["last stage"]),
            ("a" + ".a" * 200000 + " = 1\n", ["r.toml:1"]),
            ("a = " + "[" * 100000 + "\n", ["r.toml"]),
            ("prompt = \n" + TWO, ["r.toml:1"]),
        ):
            done = run("coop", self.recipe(text), "--plan")
            error = done.stderr.decode()
            # A file that cannot be opened is input that failed, as everywhere.
            code = 3 if "missing.png" in text else 2
            self.assertEqual(done.returncode, code, f"{text[:400]}: {error}")
            self.assertEqual(error.count("\n"), 1, error)
            for word in words:
                self.assertIn(word, error, text[:400])
        for arguments in ([], [self.path("none.toml")], ["--from", PROGRAM], [self.folder.name],
                          [self.path("r.toml"), "--from", image]):
            self.assertEqual(run("coop", *arguments).returncode, 2, arguments)

    def test_no_change_of_a_recipe_crashes_the_reader(self):
        draws = random.Random(3)
        whole = (TWO + 'weight_curve = [[0.5, 0.1], [3.0, 1.0]]\nlora = ["x:0.5"]\n'
                 '[[stage]]\nmembers = ["b"]\nuntil = "step=0.5"\nsize = "64"\n[[stage]]\nmembers = ["a", "b"]\n')
        pieces = ["[", "]", "{", "=", "\n", '"', "-1", "1e308", "nan", "inf", "[[member]]\n", "size = '9x9'\n",
                  "\0", "é", "9" * 30, "hub = true\n", "." * 70, "x" * 5000, "[[stage]]\n", "true"]
        for number in range(MUTATIONS):
            text = list(whole)
            for _ in range(draws.randint(1, 4)):
                at = draws.randrange(len(text))
                text[at : at + draws.choice((0, 0, 1, 7, 40))] = draws.choice(pieces)
            done = run("coop", self.recipe("".join(text)), "--plan")
            self.assertIn(done.returncode, (0, 2, 3), (number, "".join(text), done.stderr))


if __name__ == "__main__":
    unittest.main()
