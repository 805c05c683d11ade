"""`pangu-draw eval coop` as a person meets it: what it refuses, and one small study end to end: the embedded model as
hub and as the member of low resolution, pictures of a few colours, a feature extractor of random weights.

Usage: eval_coop_test.py PROGRAM
"""

import json
import math
import pathlib
import random
import re
import struct
import tempfile
import unittest

from png_file import png_painted
from program import ROOT
import program

SMALL = ["--prompts", "2", "--steps", "1", "--batch", "2", "--dtype", "f32", "--threads", "1", "-q"]
EDGES = ROOT / "models/edges"


def run(*arguments, cwd=None, home=ROOT):
    return program.run("eval", "coop", *arguments, cwd=cwd, environment={**program.BARE, "PANGU_HOME": str(home)})


def png(colour, side=64):
    return png_painted(side, side, lambda x, y: colour if side // 4 < x < side // 2 else (255, 255, 255))


def inception_shapes():
    """[out, in, height, width] of every convolution, in Keras' order."""
    shapes = []

    def conv(channels, out, height=1, width=1):
        shapes.append([out, channels, height, width])
        return out

    def chain(channels, *steps):
        for step in steps:
            channels = conv(channels, *step)
        return channels

    x = chain(3, (32, 3, 3), (32, 3, 3), (64, 3, 3), (80,), (192, 3, 3))
    for pool in (32, 64, 64):
        x = (chain(x, (64,)) + chain(x, (48,), (64, 5, 5)) + chain(x, (64,), (96, 3, 3), (96, 3, 3)) +
             chain(x, (pool,)))
    x = chain(x, (384, 3, 3)) + chain(x, (64,), (96, 3, 3), (96, 3, 3)) + x
    for n in (128, 160, 160, 192):
        x = (chain(x, (192,)) + chain(x, (n,), (n, 1, 7), (192, 7, 1)) +
             chain(x, (n,), (n, 7, 1), (n, 1, 7), (n, 7, 1), (192, 1, 7)) + chain(x, (192,)))
    x = chain(x, (192,), (320, 3, 3)) + chain(x, (192,), (192, 1, 7), (192, 7, 1), (192, 3, 3)) + x
    for _ in range(2):
        a, b = chain(x, (320,)), chain(x, (384,))
        b = chain(b, (384, 1, 3)) + chain(b, (384, 3, 1))
        c = chain(x, (448,), (384, 3, 3))
        c = chain(c, (384, 1, 3)) + chain(c, (384, 3, 1))
        x = a + b + c + chain(x, (192,))
    return shapes


def write_inception(path):
    """8-bit weights as tools/export_inception.py writes them, drawn with He's spread."""
    numbers, header, parts, at = random.Random(1), {}, [], 0

    def add(name, shape, low, high):
        nonlocal at
        for key, kind, size, data in (
                (f"{name}_u8", "U8", shape, numbers.randbytes(math.prod(shape))),
                (f"{name}_range", "F32", [2], struct.pack("<2f", (high - low) / 255, low))):
            header[key] = {"dtype": kind, "shape": size, "data_offsets": [at, at + len(data)]}
            parts.append(data)
            at += len(data)
    for i, shape in enumerate(inception_shapes(), 1):
        reach = math.sqrt(6 / math.prod(shape[1:]))
        add(f"conv2d_{i}.weight", shape, -reach, reach)
        for name, low, high in (("beta", 0, 0.1), ("mean", 0, 0.1), ("variance", 0.9, 1.1)):
            add(f"batch_normalization_{i}.{name}", shape[:1], low, high)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


class EvalCoop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.path = pathlib.Path(cls.temporary.name)
        cls.weights = cls.path / "inception.safetensors"
        write_inception(cls.weights)
        cls.data = cls.path / "data"
        cls.data.mkdir()
        lines = []
        for i, (name, colour) in enumerate({"red": (220, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 220)}.items()):
            for style in ("flat", "3d"):
                file = f"{name}_{style}.png"
                (cls.data / file).write_bytes(png(colour))
                lines.append(json.dumps({
                    "file": file, "concept": name, "concept_id": name, "style": style, "width": 64, "height": 64,
                    "split": "heldout_pair" if i == 2 and style == "3d" else "train",
                    "captions": {"en": [f"a {name} bar, {style}"], "zh": [f"{name} 条，{style}"]}}))
        (cls.data / "manifest.jsonl").write_text("\n".join(lines) + "\n")
        cls.home = cls.path / "home"  # as after a fresh clone
        cls.home.mkdir()
        (cls.home / "models").symlink_to(ROOT / "models")
        cls.inputs = ["--data", cls.data, "--inception", cls.weights, "--cache", cls.path / "features.safetensors"]
        cls.low = ["--low", "models/mini", "--only", "low", "--settings", "T_low=600"]

    def test_what_is_missing_or_wrong_exits_with_2_and_names_it(self):
        mine = self.path / "mine.md"
        mine.write_text("# Mine\n")
        for arguments, words in (
            ([], ["--data", "./pangu-draw data build --out out/mini/dataset"]),
            (["--data", self.data],
             ["--inception", "tools/export_inception.py --out out/mini/weights/inception.safetensors"]),
            ([*self.inputs, "--only", "beauty"], ["--only", "beauty", "edges"]),
            ([*self.inputs, "--only", "low", "--low", "none"], ["none"]),
            ([*self.inputs, "--low", "none", "--edges", "none", "--variation", "none"], ["member"]),
            ([*self.inputs, *self.low, "--out", "page.html"], [".md"]),
            ([*self.inputs, *self.low, "--out", mine], ["mine.md", "study"]),
            ([*self.inputs, *self.low, "--json", self.path / "no/a.json"], ["folder that exists"]),
            ([*self.inputs, "--only", "edges", "--edges", "models/mini"], ["edges alone", "control_image"]),
            ([*self.inputs, "--only", "variation", "--variation", "models/mini"], ["image_prompt"]),
            ([*self.inputs, *self.low, "--bridge", "wide"], ["wide"]),
            ([*self.inputs, "--only", "variation", "--variation", "models/mini", "--form", "round"], ["round"]),
            ([*self.inputs, *self.low, "--prompts", "0"], ["--prompts"]),
        ):
            done = run(*arguments, "-q", home=self.home)
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)
        self.assertEqual(mine.read_text(), "# Mine\n")

    def study(self, name, *arguments):
        done = run(*self.inputs, *arguments, *SMALL, "--keep", f"{name}_kept", "--out", f"{name}.md",
                   "--json", f"{name}.json", cwd=self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        page = (self.path / f"{name}.md").read_text()
        self.assertNotIn(str(self.path), page)
        for file in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
            self.assertGreater((self.path / file).stat().st_size, 200, file)
        found = json.loads((self.path / f"{name}.json").read_text())["studies"]
        for study in found:
            for row in study["rows"]:
                self.assertIn(row["setting"], done.stdout)
                self.assertIn(f"| {row['setting']} |", page)
                self.assertEqual(row["count"], 2)
        return found, page

    def test_a_small_study_of_resolutions_fills_its_page_and_goes_on_from_what_it_kept(self):
        (study,), page = self.study("low", *self.low)
        self.assertEqual([row["setting"] for row in study["rows"]],
                         ["high alone", "low alone, enlarged", "T_low=600", "naive, T_low=600"])
        self.assertEqual(study["reference"], 4)
        for row in study["rows"]:
            self.assertGreater(row["frechet_mixed6"], 0)
            self.assertGreater(row["seconds"], 0)
        # The same numbers, seconds too: nothing is drawn again. The page keeps what people wrote around the study.
        pages = self.path / "low.md"
        pages.write_text("# Before\n\n" + page + "\nAfter\n")
        kept = {file: file.stat().st_mtime_ns for file in (self.path / "low_kept").rglob("*.png")}
        self.assertEqual(len(kept), 8)
        (again,), both = self.study("low", *self.low)
        self.assertEqual(again, study)
        self.assertEqual(both, "# Before\n\n" + page + "\nAfter\n")
        self.assertEqual(kept, {file: file.stat().st_mtime_ns for file in (self.path / "low_kept").rglob("*.png")})

    def test_without_flags_everything_is_in_its_usual_place(self):
        home = self.path / "full"
        (home / "out/mini/weights").mkdir(parents=True)
        for place, what in (("models", ROOT / "models"), ("out/mini/dataset", self.data),
                            ("out/mini/weights/inception.safetensors", self.weights)):
            (home / place).symlink_to(what)
        done = run(*self.low, *SMALL, "--cache", self.path / "features.safetensors", home=home)
        self.assertEqual(done.returncode, 0, done.stderr)
        page = (home / "out/coop/study.md").read_text()
        for file in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
            self.assertGreater((home / "out/coop" / file).stat().st_size, 200, file)
        self.assertNotIn("--data", page)

    @unittest.skipUnless((EDGES / "model_index.json").exists(), "models/edges is not there")
    def test_a_small_study_of_edges_measures_f1(self):
        (study,), page = self.study("edges", "--only", "edges", "--settings", "d=0.5 while")
        self.assertIn("edge F1", page)
        # Another study of the same page leaves this one as it is.
        edges = page[page.index("<!-- part: edges -->"):page.index("<!-- end of the study -->")]
        _, both = self.study("edges", *self.low)
        self.assertIn(edges, both)
        self.assertIn("<!-- part: low -->", both)
        for row in study["rows"]:
            self.assertTrue(0 <= row["edge_f1"] <= 1)


if __name__ == "__main__":
    unittest.main()
