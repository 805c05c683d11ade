"""Draws recipes of several models through the built program, as a user would; and wrong ones.

Usage: coop_test.py PROGRAM
"""

import json
import math
import pathlib
import random
import struct
import tempfile
import unittest

from autoencoders import write_vae_changed_in
from png_file import png_painted, png_pixels, png_size
from program import PROGRAM, ROOT
from safetensors_file import safetensors_of
import program

EXAMPLES = ROOT / "examples"
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
    return program.run(*arguments, text=False)


def write_png(path, side, colour_of):
    """A grey square; colour_of(x, y): 0 to 255."""
    path.write_bytes(png_painted(side, side, lambda x, y: [colour_of(x, y)]))
    return path


def write_tiny_vae(folder, seed, channels=16, levels=5, width=4):
    """An autoencoder of TAESD's form with random weights, of the embedded model's latents (f = 2^(levels - 1))."""
    numbers, tensors = random.Random(seed), {}

    def conv(name, inputs, outputs, bias=True):
        reach = 1 / math.sqrt(9 * inputs)
        shapes = {f"{name}.weight": [outputs, inputs, 3, 3]} | ({f"{name}.bias": [outputs]} if bias else {})
        for key, shape in shapes.items():
            count = math.prod(shape)
            tensors[key] = ("F32", shape, struct.pack(f"<{count}f", *(numbers.uniform(-reach, reach) for _ in range(count))))

    def block(name):
        for i in (0, 2, 4):
            conv(f"{name}.conv.{i}", width, width)

    for level in range(levels):
        conv(f"encoder.layers.{2 * level}", width if level else 3, width, bias=level == 0)
        block(f"encoder.layers.{2 * level + 1}")
        block(f"decoder.layers.{3 * level + 2}")
        last = level == levels - 1
        conv(f"decoder.layers.{3 * level + (3 if last else 4)}", width, 3 if last else width, bias=last)
    conv(f"encoder.layers.{2 * levels}", width, channels)
    conv("decoder.layers.0", channels, width)
    folder.mkdir()
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(safetensors_of(tensors))
    (folder / "config.json").write_text(json.dumps(
        {"_class_name": "AutoencoderTiny", "latent_channels": channels, "num_encoder_blocks": [1] * levels,
         "num_decoder_blocks": [1] * levels, "encoder_block_out_channels": [width] * levels,
         "decoder_block_out_channels": [width] * levels}))
    return folder


def told(done):
    """What it wrote on standard error, less the warning that pictures are smaller here than the model likes."""
    lines = done.stderr.decode().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("pangu-draw: warning: size: "))


class Coop(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def path(self, name):
        return self.folder / name

    def recipe(self, text):
        self.path("r.toml").write_text(text, encoding="utf-8")
        return self.path("r.toml")

    def ok(self, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def coop(self, name, text, *arguments):
        self.ok("coop", self.recipe(text), *FAST, *arguments, "--out", self.path(name), "--overwrite")
        return png_pixels(self.path(name))

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
        self.assertEqual(png_pixels(self.path("w.png")), self.coop("r.png", recipe + "weight = 0.5\n"))

    def test_without_weight_for_the_others_it_is_plain_drawing(self):
        for sampler, noise in (("euler", "torch-cpu"), ("euler_a", "numpy"), ("dpmpp_2m", "philox"),
                               ("dpmpp_sde", "torch-cpu"), ("heun", "philox")):
            self.ok("draw", "a red apple, 3D render", "--size", "128", "--steps", 2, "--seed", 1, *FAST,
                    "--sampler", sampler, "--noise", noise, "--out", self.path("p.png"), "--overwrite")
            shared = f'sampler = "{sampler}"\nnoise = "{noise}"\n'
            self.assertEqual(png_pixels(self.path("p.png")), self.coop("c.png", shared + TWO + "weight = 0\n"), sampler)

    def test_the_examples_draw_at_two_sizes_and_follow_their_control_picture(self):
        out = self.path("out.png")
        for example in sorted(EXAMPLES.glob("*.toml")):
            for width, height in ((256, 256), (384, 256)):
                self.ok("coop", example, *FAST, "--steps", 2, "--size", f"{width}x{height}", "--out", out, "--overwrite")
                self.assertEqual(png_size(out), (width, height), example)
        lines = write_png(self.path("lines.png"), 128, lambda x, y: 255 if x in (40, 88) or y in (40, 88) else 0)
        text = (EXAMPLES / "text_edges.toml").read_text(encoding="utf-8")
        steered = [self.coop("out.png", text.replace("fox_edges.png", str(picture)), "--steps", 2, "--size", "256x256")
                   for picture in (EXAMPLES / "fox_edges.png", lines)]
        self.assertNotEqual(*steered)

    def test_the_picked_bridges_are_said_in_one_line(self):
        loud = [flag for flag in FAST if flag != "--quiet"]
        for flags, lines in ((loud, ["bridges: text to edges exact, edges to text exact"]), (FAST, [])):
            done = run("coop", EXAMPLES / "text_edges.toml", *flags, "--steps", 1, "--size", 128, "--seed", 3, "--out",
                       self.path("out.png"), "--overwrite")
            self.assertEqual(told(done).splitlines(), [*lines, "seed 3"])

    def test_a_tiny_autoencoder_bridges_where_it_is_asked_for(self):
        recipe = f"""prompt = "a red apple, 3D render"
size = "128"
steps = 2
seed = 1
[[member]]
name = "text"
model = "models/mini"
hub = true
tiny_vae = "{write_tiny_vae(self.path("tiny"), 1)}"
[[member]]
name = "low"
model = "models/low"
"""
        self.assertNotEqual(self.coop("tiny.png", recipe, "--bridge", "tiny"),
                            self.coop("exact.png", recipe, "--bridge", "exact"))
        # Only one end has one: not what `auto` takes.
        for kind, picked, words in (("tiny", "tiny", "tiny decoder of text"), ("auto", "exact", "decoder of text")):
            plan = json.loads(self.ok("coop", self.recipe(recipe), "--bridge", kind, "--plan", "--json"))
            bridges = {(b["from"], b["to"]): b for b in plan["stages"][0]["bridges"]}
            self.assertEqual(bridges["text", "low"]["kind"], picked)
            self.assertTrue(bridges["text", "low"]["by"].startswith(words), bridges)
        wrong = recipe.replace(str(self.path("tiny")), str(write_tiny_vae(self.path("small"), 1, levels=4)))
        done = run("coop", self.recipe(wrong), "--plan")
        self.assertEqual(done.returncode, 2)
        self.assertIn("member 'text', tiny_vae", done.stderr.decode())

    def test_decoders_of_one_encoder_share_a_space(self):
        for part, kind in (("decoder.", "identity"), ("encoder.", "exact")):
            vae = write_vae_changed_in(self.path(part), part)
            plan = json.loads(self.ok("coop", self.recipe(TWO + f'vae = "{vae}"\n'), "--plan", "--json"))
            self.assertEqual({b["kind"] for b in plan["stages"][0]["bridges"]}, {kind}, part)
        config = self.path("decoder.") / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "scaling_factor": 0.5}))
        plan = json.loads(self.ok("coop", self.recipe(TWO + f'vae = "{config.parent}"\n'), "--plan", "--json"))
        self.assertEqual({(b["kind"], b["by"]) for b in plan["stages"][0]["bridges"]},
                         {("identity", "one latent space, scaled")})

    def test_a_changed_input_is_named_when_a_picture_is_drawn_again(self):
        mask = write_png(self.path("mask.png"), 128, lambda x, y: 2 * x)
        self.coop("a.png", TWO + f'mask = "{mask}"\n')
        again = ["coop", "--from", self.path("a.png"), *FAST, "--out", self.path("b.png"), "--overwrite"]
        self.assertEqual(told(run(*again)), "seed 1\n")
        write_png(mask, 128, lambda x, y: 2 * y)
        done = run(*again)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(told(done).count("\n"), 2)
        self.assertIn(f"warning: '{mask}'", told(done))
        self.assertNotEqual(png_pixels(self.path("a.png")), png_pixels(self.path("b.png")))
        mask.unlink()
        done = run(*again)
        self.assertEqual(done.returncode, 3)
        self.assertIn("mask.png", done.stderr.decode())

    def test_wrong_recipes_are_refused_in_one_line_that_names_the_member(self):
        image = self.path("drawn.png")
        self.coop("drawn.png", TWO)
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
            error = told(done)
            # A file that cannot be opened is input that failed, as everywhere.
            code = 3 if "missing.png" in text else 2
            self.assertEqual(done.returncode, code, f"{text[:400]}: {error}")
            self.assertEqual(error.count("\n"), 1, error)
            for word in words:
                self.assertIn(word, error, text[:400])
        for arguments in ([], [self.path("none.toml")], ["--from", PROGRAM], [str(self.folder)],
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
