"""`pangu-draw eval` as a person meets it: what it refuses, and the page of losses alone.

With PANGU_WEIGHTS (a folder with inception.safetensors) and PANGU_DATASET (of `data build`) set, a
small evaluation of the embedded model is run as well.

Usage: eval_test.py PROGRAM
"""

import json
import os
import pathlib
import re
import tempfile
import unittest

from program import ROOT
import program


def run(*arguments, cwd=None):
    return program.run("eval", *arguments, cwd=cwd)


class Eval(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def make_runs(self):
        for name, low in (("structure", 500), ("texture", 0)):
            folder = self.path / "runs" / name
            folder.mkdir(parents=True)
            (folder / "metrics.jsonl").write_text("".join(
                json.dumps({"step": 10 * i, "loss": 1.0 / i, "seconds": 60.0 * i}) + "\n" for i in range(1, 9)))
            (folder / "loss_by_t.json").write_text(json.dumps(
                [{"t_index": low + t, "sigma": 0.1 + t, "loss": 0.25} for t in range(0, 500, 100)]))
        return self.path / "runs"

    def test_what_is_missing_or_wrong_exits_with_2_and_names_it(self):
        not_weights = self.path / "weights.safetensors"
        not_weights.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
        (self.path / "broken/structure").mkdir(parents=True)
        (self.path / "broken/structure/metrics.jsonl").write_text('{"step": 1}\n{"loss": 1}\n{}\n')
        picture = ROOT / "tests/fuzz/corpus/image/rgb.png"
        own = self.path / "own"
        own.mkdir()
        (own / "a.png").write_bytes(picture.read_bytes())
        (own / "a.txt").write_text("a picture\n")
        for arguments, words in (
            ([], ["--data"]),
            (["--data", own], ["--inception", "export_inception"]),
            (["--data", self.path / "none", "--inception", not_weights], ["none"]),
            (["--data", own, "--inception", not_weights], ["conv2d_1"]),
            (["--data", own, "--inception", own / "a.png"], ["--inception", "a.png"]),
            (["--only", "beauty"], ["--only", "beauty", "probe"]),
            (["--only", "loss"], ["--runs"]),
            (["--only", "loss", "--runs", self.path / "none"], ["--runs"]),
            (["--only", "loss", "--runs", self.path / "broken"], ["metrics.jsonl", "line 2", "step"]),
            (["--only", "loss", "--runs", self.path, "--out", "page.html"], [".md"]),
            (["--only", "loss", "--runs", self.path, "--out", self.path / "no/page.md"], ["folder that exists"]),
            (["--prompts", "0"], ["--prompts"]),
            (["--batch", "x"], ["--batch"]),
            (["--data", own, "--inception", not_weights, "--model", own], ["model_index.json"]),
            (["--data", own, "--inception", not_weights, "--steps", "0"], ["steps"]),
            (["--data", own, "--inception", not_weights, "--size", "256by256"], ["size"]),
            (["--data", own, "--inception", not_weights, "--lora", own / "a.txt"], ["a.txt"]),
        ):
            done = run(*arguments, "--quiet")
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)

    def test_losses_alone_make_a_page_with_a_drawing_that_is_there(self):
        runs = self.make_runs()
        done = run("--only", "loss", "--runs", runs, "--out", "page.md", "--json", "scores.json", "-q", cwd=self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        page = (self.path / "page.md").read_text()
        self.assertIn("| structure | 700 | 200.100 | 0.2500 |", page)
        self.assertNotIn(str(self.path), page)
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
            self.assertTrue((self.path / name).read_text().startswith("<svg"), name)
        scores = json.loads((self.path / "scores.json").read_text())
        self.assertEqual([run["name"] for run in scores["runs"]], ["structure", "texture"])

    def test_an_autoencoder_is_measured_with_and_without_noise(self):
        data = self.path / "data"
        data.mkdir()
        for i, name in enumerate(("rgb", "palette")):
            (data / f"{i}.png").write_bytes((ROOT / f"tests/fuzz/corpus/image/{name}.png").read_bytes())
            (data / f"{i}.txt").write_text("a picture\n")
        flags = ["--data", data, "--split", "train", "--size", 64, "--noise", "0,2"]
        done = run("autoencoder", *flags, "--json", "scores.json", "-q", cwd=self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        scores = json.loads((self.path / "scores.json").read_text())
        self.assertEqual(scores["pictures"], 2)
        clean, noisy = scores["rows"]
        self.assertEqual((clean["latent_noise"], noisy["latent_noise"]), (0, 2))
        self.assertGreater(clean["psnr_db"], noisy["psnr_db"] + 3)
        self.assertNotIn("vgg_distance", clean)
        self.assertIn(f"{clean['psnr_db']:.2f}", done.stdout)
        for arguments, words in (
            (["--data", data], ["--split", "heldout_pair"]),
            ([], ["--data"]),
            ([*flags, "--size", 72], ["--size", "a multiple of 16"]),
            ([*flags, "--model", data], ["config.json"]),
            ([*flags, "--vgg", data / "0.png"], ["0.png"]),
            ([*flags, "--inception", data / "0.png"], ["--inception", "0.png"]),
            ([*flags, "--noise", "-1"], ["--noise"]),
        ):
            done = run("autoencoder", *arguments, "-q")
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)

    @unittest.skipUnless(os.environ.get("PANGU_WEIGHTS") and os.environ.get("PANGU_DATASET"),
                         "PANGU_WEIGHTS and PANGU_DATASET are not set")
    def test_a_small_evaluation_counts_what_it_drew(self):
        done = run("--data", os.environ["PANGU_DATASET"], "--inception",
                   pathlib.Path(os.environ["PANGU_WEIGHTS"]) / "inception.safetensors", "--prompts", 2, "--scenes", 2,
                   "--steps", 2, "--out", "page.md", "--json", "scores.json", "-q", cwd=self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        scores = json.loads((self.path / "scores.json").read_text())
        self.assertEqual(len(scores["groups"]), 6)
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", (self.path / "page.md").read_text()):
            self.assertLessEqual((self.path / name).stat().st_size, 300_000)


if __name__ == "__main__":
    unittest.main()
