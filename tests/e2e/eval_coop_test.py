"""`pangu-draw eval coop` as a person meets it: what it refuses, and one small study end to end: the embedded model as
hub and as the member of low resolution, pictures of a few colours, a feature extractor of random weights.

Usage: eval_coop_test.py PROGRAM
"""

import json
import pathlib
import re
import tempfile
import unittest

from program import ROOT
import program
from toy_judge import write_bars, write_inception

SMALL = ["--prompts", "2", "--steps", "1", "--batch", "2", "--dtype", "f32", "--threads", "1", "-q"]
EDGES = ROOT / "models/edges"


def run(*arguments, cwd=None, home=ROOT):
    return program.run("eval", "coop", *arguments, cwd=cwd, environment={**program.BARE, "PANGU_HOME": str(home)})


class EvalCoop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.path = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.weights = cls.path / "inception.safetensors"
        write_inception(cls.weights)
        cls.data = cls.path / "data"
        write_bars(cls.data)
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
