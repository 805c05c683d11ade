"""`pangu-draw control` as a person meets it: the three kinds, sizes, keypoints, and what it refuses.

Usage: control_test.py PROGRAM
"""

import json
import pathlib
import struct
import tempfile
import unittest
import zlib

from png_file import png_of, png_rows
from program import ROOT
from safetensors_file import safetensors_bytes
import program

FIXTURES = ROOT / "tests/fuzz/corpus/image"


def run(*arguments):
    return program.run("control", *arguments)


def write_png(path, width, height, rgb):
    path.write_bytes(png_of(width, height, rgb))
    return path


def astronaut(path):
    """The picture inside the pose network's reference: 192 x 192, RGB."""
    entry, pixels = safetensors_bytes(ROOT / "tests/parity/data/movenet_reference.safetensors", "picture")
    return write_png(path, entry["shape"][1], entry["shape"][0], pixels)


class Control(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.person = astronaut(self.folder / "person.png")

    def made(self, kind, picture, *options):
        out = self.folder / f"{kind}.png"
        done = run(kind, picture, out, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "" if "-q" in options else f"{out}\n")
        return png_rows(out)

    def test_edges_are_black_and_white_and_more_of_them_below_lower_thresholds(self):
        def white(rows):
            self.assertLessEqual(set(b"".join(rows)), {0, 255})
            return sum(row.count(255) for row in rows)
        width, height, rows = self.made("edges", self.person)
        self.assertEqual((width, height), (192, 192))
        many = white(self.made("edges", self.person, "--low-threshold", 20, "--high-threshold", 50)[2])
        few = white(self.made("edges", self.person, "--l2-gradient")[2])
        self.assertTrue(0 < few < white(rows) < many, (few, white(rows), many))

    def test_a_size_cuts_and_scales(self):
        for kind, options in (("edges", ()), ("hed", ("--detect-resolution", 64)), ("pose", ())):
            self.assertEqual(self.made(kind, self.person, "--size", "100x60", "-q", *options)[:2], (100, 60))

    def test_soft_edges_have_greys_safe_ones_few_and_scribbles_none(self):
        def levels(*options):
            return set(b"".join(self.made("hed", self.person, "--detect-resolution", 192, *options)[2]))
        self.assertGreater(len(levels()), 100)
        self.assertEqual(levels("--safe"), {0, 127, 255})
        self.assertEqual(levels("--scribble"), {0, 255})

    def test_a_person_is_drawn_and_written_as_openpose_does(self):
        keypoints = self.folder / "pose.json"
        width, height, rows = self.made("pose", self.person, "--json", keypoints)
        found = json.loads(keypoints.read_text())
        self.assertEqual((found["canvas_width"], found["canvas_height"]), (192, 192))
        self.assertEqual(len(found["people"]), 1)
        numbers = found["people"][0]["pose_keypoints_2d"]
        self.assertEqual(len(numbers), 54)
        x, y, score = numbers[:3]
        self.assertTrue(75 < x < 92 and 38 < y < 56 and score > 0.3, numbers[:3])
        self.assertEqual(rows[round(y)][3 * round(x):3 * round(x) + 3], bytes((255, 0, 0)))  # the nose is red
        for i in range(18):
            if numbers[3 * i + 2] == 0:
                self.assertEqual(numbers[3 * i:3 * i + 2], [0, 0])
        self.made("pose", self.person, "--json", keypoints, "--threshold", "1")
        self.assertEqual(json.loads(keypoints.read_text())["people"], [])

    def test_every_kind_of_file_and_the_smallest_pictures_are_taken(self):
        names = ("rgba.png", "grey.png", "grey_alpha.png", "grey16.png", "palette_transparent.png", "one_bit.png",
                 "baseline.jpg", "cmyk.jpg", "lossy.webp", "lossless.webp")
        for name in names:
            self.assertEqual(self.made("edges", FIXTURES / name)[:2], (16, 12))
        for width, height in ((1, 1), (2, 2), (300, 1)):
            tiny = write_png(self.folder / "tiny.png", width, height, bytes((200, 10, 90)) * (width * height))
            for kind, options in (("edges", ()), ("hed", ("--detect-resolution", 64)), ("pose", ())):
                found = self.made(kind, tiny, *options)
                self.assertEqual(found[:2], (width, height))
        self.assertEqual(set(b"".join(found[2])), {0})
        self.assertIn("no person", run("pose", tiny, self.folder / "black.png").stderr)

    def test_wrong_input_exits_with_2_and_leaves_no_file(self):
        out, good = self.folder / "out.png", FIXTURES / "rgb.png"
        text = self.folder / "text.png"
        text.write_text("not a picture")
        cut = self.folder / "cut.png"
        cut.write_bytes(good.read_bytes()[:60])
        huge = bytearray(good.read_bytes())
        huge[16:24] = struct.pack(">II", 60000, 60000)
        huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
        (self.folder / "huge.png").write_bytes(huge)
        for arguments, words in (
            (["lines", good, out], []),
            ([], []),
            (["edges", good], ["out"]),
            (["edges", text, out], ["text.png", "PNG, JPEG or WebP"]),
            (["hed", cut, out], ["cut.png"]),
            (["pose", self.folder / "huge.png", out], ["huge.png", "60000x60000"]),
            (["edges", good, self.folder / "out.jpg"], [".png"]),
            (["edges", good, self.folder / "none/out.png"], ["folder"]),
            (["edges", good, out, "--size", "0x9"], ["size"]),
            (["edges", good, out, "--size", "99999x9"], ["size", "16384"]),
            (["edges", good, out, "--low-threshold", "300"], ["low threshold", "200"]),
            (["edges", good, out, "--high-threshold", "nan"], ["high threshold"]),
            (["edges", good, out, "--threshold", "1"], ["threshold"]),
            (["hed", good, out, "--detect-resolution", "9999"], ["detect resolution", "2048"]),
            (["pose", good, out, "--detect-resolution", "100"], ["detect resolution", "32"]),
            (["pose", good, out, "--threshold", "2"], ["threshold"]),
            (["pose", good, out, "--people", "0"], ["people"]),
        ):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)
            self.assertFalse(out.exists(), arguments)

    def test_what_cannot_be_read_or_written_exits_with_3(self):
        done = run("edges", self.folder / "none.png", self.folder / "out.png")
        self.assertEqual(done.returncode, 3)
        self.assertIn("none.png", done.stderr)
        done = run("pose", self.person, self.folder / "out.png", "--json", self.folder / "none/pose.json")
        self.assertEqual(done.returncode, 3, done.stderr)


if __name__ == "__main__":
    unittest.main()
