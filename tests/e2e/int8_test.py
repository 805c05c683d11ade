"""`draw --precision int8` and `quantize`: a picture near to the exact one, and the file beside the model.

Usage: int8_test.py PROGRAM
"""

import json
import math
import pathlib
import shutil
import tempfile
import unittest

from png_file import png_rows
from program import BARE, ROOT, run

MODEL = ROOT / "models/mini"
FAST = ("a red apple, 3D render", "--seed", "3", "--steps", "6", "--quiet", "--threads", "1", "--dtype", "bf16")
PLAIN = BARE | {"PANGU_KERNELS": "plain"}


class Int8(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        if run("draw", *FAST, "--precision", "int8", "-o", self.folder / "any.png").returncode == 4:
            self.skipTest("this processor has no kernels in int8")

    def draw(self, name, *flags):
        out = self.folder / f"{name}.png"
        done = run("draw", *FAST, *flags, "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        return b"".join(png_rows(out)[2]), done.stderr

    def distance(self, a, b):
        squares = sum((x - y) ** 2 for x, y in zip(a, b)) / len(a)
        return 10 * math.log10(255**2 / squares) if squares else math.inf

    def test_a_picture_in_int8_is_near_the_exact_one_and_is_repeated(self):
        exact, _ = self.draw("exact")
        other, _ = self.draw("other", "--seed", "4")
        rough, _ = self.draw("rough", "--precision", "int8")
        psnr, far = self.distance(exact, rough), self.distance(exact, other)
        print(f"int8: {psnr:.1f} dB from the exact picture; one of another seed: {far:.1f} dB")
        self.assertLess(psnr, math.inf)
        self.assertGreater(psnr, far + 6)
        again = self.folder / "again.png"
        done = run("draw", "--from", self.folder / "rough.png", "--quiet", "--threads", "1", "-o", again)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(b"".join(png_rows(again)[2]), rough)

    def test_quantize_writes_a_file_beside_the_model_that_drawing_uses(self):
        model = self.folder / "model"
        shutil.copytree(MODEL, model)
        usual, _ = self.draw("usual", "--precision", "int8", "--model", model)
        done = run("quantize", model, "--prompt", "a fox", "--steps", "2", "--most-error", "0.012", "--quiet",
                   "--threads", "1", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        files = json.loads(done.stdout)
        self.assertTrue(files)
        for file in files:
            self.assertTrue(pathlib.Path(file["path"]).is_file())
            self.assertGreater(file["layers"], 0)
            self.assertGreater(len(file["kept_in_bf16"]), 0)
        chosen, _ = self.draw("chosen", "--precision", "int8", "--model", model)
        exact, _ = self.draw("exact", "--model", model)
        self.assertNotEqual(chosen, usual)
        self.assertNotEqual(chosen, exact)
        # Weights of another model are warned of and not used; a damaged file is refused by its name.
        kept = pathlib.Path(files[0]["path"])
        whole = kept.read_bytes()
        size = int.from_bytes(whole[:8], "little")
        mark = json.loads(whole[8 : 8 + size])["__metadata__"]["of"].encode()
        kept.write_bytes(whole.replace(mark, mark[::-1]))
        _, said = self.draw("foreign", "--precision", "int8", "--model", model)
        self.assertIn("not used", said)
        kept.write_bytes(whole[: len(whole) // 2])
        done = run("draw", *FAST, "--precision", "int8", "--model", model, "-o", self.folder / "no.png")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(kept.name, done.stderr)

    def test_what_cannot_be_is_refused(self):
        out = self.folder / "no.png"
        done = run("draw", *FAST, "--precision", "int4", "-o", out)
        self.assertEqual(done.returncode, 2)
        self.assertIn("'exact' or 'int8'", done.stderr)
        done = run("draw", *FAST, "--precision", "int8", "-o", out, environment=PLAIN)
        self.assertEqual(done.returncode, 4)
        self.assertIn("AVX512", done.stderr)
        done = run("quantize", MODEL, "--most-error", "-1")
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
