"""Start pictures of other shapes, masks in alpha channels and larger pictures, through the built program.

Usage: pictures_test.py PROGRAM
"""

import pathlib
import struct
import tempfile
import unittest

from png_file import png_painted, png_pixels
from program import run
from safetensors_file import safetensors_of

SIDE = 192


def write_png(path, width, height, colour_at):
    path.write_bytes(png_painted(width, height, colour_at))


def write_upscaler(path, shade):
    """An ESRGAN that makes every picture four times as large, and plain: its weights are zero."""
    shapes = {"conv_first": (4, 3), "conv_body": (4, 4), "conv_up1": (4, 4), "conv_up2": (4, 4), "conv_hr": (4, 4),
              "conv_last": (3, 4)}
    for block in range(1, 4):
        for layer in range(1, 6):
            shapes[f"body.0.rdb{block}.conv{layer}"] = (4 if layer == 5 else 2, 4 + 2 * (layer - 1))
    tensors = {}
    for name, (outputs, inputs) in shapes.items():
        tensors[name + ".weight"] = ("F32", [outputs, inputs, 3, 3], bytes(36 * outputs * inputs))
        bias = struct.pack("<f", shade if name == "conv_last" else 0.0)
        tensors[name + ".bias"] = ("F32", [outputs], bias * outputs)
    path.write_bytes(safetensors_of(tensors))


class Pictures(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def path(self, name):
        return self.folder / name

    def draw(self, name, *arguments):
        done = run("draw", *arguments, "--quiet", "--out", self.path(name))
        self.assertEqual(done.returncode, 0, done.stderr)
        return png_pixels(self.path(name))

    def drawn_from(self, name, start, *more):
        return self.draw(name, "a cat", "--size", SIDE, "--seed", 1, "--steps", 4, "--strength", 0.5, "--init-image",
                         self.path(start), *more)

    def test_a_start_picture_of_another_shape_is_cut_at_its_centre(self):
        def inside(x, y):
            return (x * 255 // SIDE, y * 255 // SIDE, 90)
        write_png(self.path("square.png"), SIDE, SIDE, inside)
        write_png(self.path("wide.png"), SIDE + 64, SIDE,
                  lambda x, y: inside(x - 32, y) if 32 <= x < SIDE + 32 else (255, 0, 0))
        square = self.drawn_from("a.png", "square.png")
        self.assertEqual(self.drawn_from("b.png", "wide.png"), square)
        self.assertEqual(self.drawn_from("c.png", "wide.png", "--resize-mode", "crop"), square)
        for mode in ("pad", "stretch"):
            self.assertNotEqual(self.drawn_from("d.png", "wide.png", "--resize-mode", mode), square)
        done = run("draw", "a cat", "--resize-mode", "squeeze")
        self.assertEqual(done.returncode, 2)
        self.assertIn("crop, pad or stretch", done.stderr)

    def test_the_hole_in_a_picture_is_a_mask(self):
        def hole(x):
            return SIDE // 2 <= x
        write_png(self.path("start.png"), SIDE, SIDE, lambda x, y: (40, y * 255 // SIDE, 200))
        write_png(self.path("hole.png"), SIDE, SIDE, lambda x, y: (40, 90, 200, 0 if hole(x) else 255))
        write_png(self.path("mask.png"), SIDE, SIDE, lambda x, y: (255,) * 3 if hole(x) else (0,) * 3)
        write_png(self.path("painted.png"), SIDE, SIDE, lambda x, y: (255,) * 3 + (255 if hole(x) else 0,))
        masked = self.drawn_from("a.png", "start.png", "--mask", self.path("mask.png"))
        self.assertNotEqual(masked, self.drawn_from("b.png", "start.png"))
        for name in ("hole.png", "painted.png"):
            self.assertEqual(self.drawn_from("c.png", "start.png", "--mask", self.path(name)), masked)

    def test_a_finished_picture_is_enlarged_by_lanczos_or_by_an_esrgan(self):
        fast = ["a cat", "--size", SIDE, "--seed", 1, "--steps", 2]
        size, rows = self.draw("large.png", *fast, "--upscale", 1.5)
        self.assertEqual(size, (SIDE * 3 // 2,) * 2)
        self.assertGreater(len(set(rows)), 32)
        write_upscaler(self.path("plain.safetensors"), 0.5)
        size, rows = self.draw("plain.png", *fast, "--upscale", 2, "--upscaler", self.path("plain.safetensors"))
        self.assertEqual(size, (SIDE * 2, SIDE * 2))
        # Filtered rows of one colour: a filter, the colour, and nothing that differs from it.
        self.assertLessEqual(len(set(rows)), 4)
        said = run("inspect", self.path("plain.safetensors")).stdout
        self.assertIn("ESRGAN upscaler (RRDBNet)", said)
        self.assertIn("4 times", said)
        done = run("draw", *fast, "--model", self.path("plain.safetensors"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("ESRGAN upscaler", done.stderr)
        done = run("draw", *fast, "--upscaler", self.path("plain.safetensors"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("--upscale 4", done.stderr)
        self.path("other.safetensors").write_bytes(safetensors_of({}))
        done = run("draw", *fast, "--upscale", 2, "--upscaler", self.path("other.safetensors"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("other.safetensors", done.stderr)

    def test_hires_draws_in_two_sizes_and_repeats_from_its_file(self):
        size, rows = self.draw("hires.png", "a cat", "--size", SIDE, "--seed", 1, "--steps", 4, "--hires-scale", 2)
        self.assertEqual(size, (SIDE * 2, SIDE * 2))
        self.assertGreater(len(set(rows)), 32)
        again = self.draw("again.png", "--from", self.path("hires.png"))
        self.assertEqual(again, (size, rows))
        done = run("draw", "a cat", "--size", SIDE, "--hires-scale", 2, "--hires-strength", 1)
        self.assertEqual(done.returncode, 2)
        self.assertIn("hires_strength", done.stderr)


if __name__ == "__main__":
    unittest.main()
