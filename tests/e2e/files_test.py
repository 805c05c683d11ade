"""No picture is lost: where `draw` and `coop` write, under which names, in which formats, and that nothing that was
there is replaced. What they write is read back by Pillow.

Usage: files_test.py PROGRAM. Skipped (77) without Pillow. Draws with the embedded models.
"""

import datetime
import io
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from program import PROGRAM, ROOT, reference_imports, run_as_user

with reference_imports():
    from PIL import Image

# Few steps and pixels: these tests ask where the picture goes, not what is in it.
SMALL = ["--size", "64", "--steps", "1", "--guidance", "1", "--threads", "1", "--quiet"]
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
COOP = 'prompt = "a cat"\n[[member]]\nhub = true\n[[member]]\nname = "b"\nprompt = "a dog"\n'


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "recipe.toml").write_text(COOP)

    def run_program(self, *words, text=True):
        return run_as_user(*words, text=text, cwd=self.folder, stdin=subprocess.DEVNULL)

    def draw(self, *flags, command=("draw", "a cat")):
        """The names that it printed."""
        done = self.run_program(*command, *SMALL, *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        names = done.stdout.splitlines()
        for name in names:
            self.assertTrue((self.folder / name).is_file(), name)
        return names

    def refused(self, words, *flags, code=2, drawing=SMALL):
        done = self.run_program("draw", "a cat", *drawing, *flags)
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def bytes_of(self, name):
        return (self.folder / name).read_bytes()

    def pixels_of(self, name):
        return Image.open(self.folder / name).convert("RGB").tobytes()

    def test_a_name_without_out_has_date_number_and_seed(self):
        today = datetime.date.today().isoformat()
        for command in (("draw", "a cat"), ("coop", "recipe.toml")):
            first, = self.draw("--seed", 5, command=command)
            second, = self.draw("--seed", 5, command=command)
            found = re.fullmatch(r"pangu-(\d{4}-\d\d-\d\d)-(\d{4})-5\.png", first)
            self.assertTrue(found, first)
            self.assertGreaterEqual(found[1], today)
            self.assertEqual(int(re.split("-", second)[4]), int(found[2]) + 1)

    def test_a_picture_that_is_there_stays_unless_overwrite_says_so(self):
        for command in (("draw", "a cat"), ("coop", "recipe.toml")):
            self.assertEqual(self.draw("--seed", 1, "-o", "a.png", command=command), ["a.png"])
            before = self.bytes_of("a.png")
            done = self.run_program(*command, *SMALL, "--seed", 2, "-o", "a.png")
            self.assertEqual((done.returncode, done.stdout), (0, "a-1.png\n"), done.stderr)
            self.assertIn("warning", done.stderr)
            self.assertIn("--overwrite", done.stderr)
            self.assertEqual(self.bytes_of("a.png"), before)
            self.assertEqual(self.draw("--seed", 2, "-o", "a.png", "--overwrite", command=command), ["a.png"])
            self.assertNotEqual(self.bytes_of("a.png"), before)
            for name in ("a.png", "a-1.png"):
                (self.folder / name).unlink()

    def test_several_pictures_are_numbered_with_zeros_and_go_on(self):
        self.assertEqual(self.draw("--count", 11, "-o", "a.png"), [f"a-{i:02}.png" for i in range(11)])
        self.assertEqual(self.draw("--count", 2, "-o", "b.png"), ["b-0.png", "b-1.png"])
        self.assertEqual(self.draw("--count", 2, "-o", "b.png"), ["b-2.png", "b-3.png"])

    def test_folders_are_made_and_patterns_filled(self):
        name, = self.draw("--seed", 3, "-o", "new/deep")
        self.assertRegex(name, r"^new/deep/pangu-.*-0001-3\.png$")
        self.assertRegex(self.draw("-o", "new/deep")[0], r"^new/deep/pangu-.*-0002-\d+\.png$")
        self.assertRegex(self.draw("-o", "v1.5/", "--seed", 4)[0], r"^v1\.5/pangu-.*-4\.png$")
        self.assertEqual(self.draw("-o", "{model}/{prompt} {steps} {seed}.png", "--seed", 8, "--count", 2),
                         ["mini/a cat 1 8.png", "mini/a cat 1 9.png"])
        self.assertEqual(self.draw("-o", "{number}-{index}", "--count", 2), ["0001-0.png", "0002-1.png"])
        self.refused(["{sed}", "seed", "number"], "-o", "{sed}.png")

    def test_an_out_that_cannot_be_is_refused_before_drawing(self):
        (self.folder / "file").write_text("x")
        long = ["--steps", "1000", "--quiet"]  # a drawing would take minutes
        for out, words, code in (("x.gif", [".png", ".webp"], 2), ("/proc/x.png", ["/proc"], 3),
                                 ("file/x.png", ["file"], 3), ("/proc/new/", ["/proc"], 3)):
            self.refused(words, "-o", out, code=code, drawing=long)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["file", "recipe.toml"])

    @unittest.skipUnless(os.geteuid() == 0, "another user is made by root")
    def test_a_folder_that_another_user_owns_is_refused_before_drawing(self):
        self.folder.chmod(0o755)
        done = subprocess.run([PROGRAM, "draw", "a cat", "--steps", "1000", "-q", "-o", self.folder / "a.png"],
                              capture_output=True, text=True, env={**os.environ, "PANGU_HOME": str(ROOT)},
                              user=65534, check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("Permission denied", done.stderr)

    def test_the_seed_is_always_said(self):
        done = self.run_program("draw", "a cat", *SMALL)
        seed = re.search(r"^seed (\d+)$", done.stderr, re.M)
        self.assertTrue(seed, done.stderr)
        self.assertIn(f"-{seed[1]}.png", done.stdout)
        done = self.run_program("coop", "recipe.toml", *SMALL, "--seed", 4, "--count", 2, "--json")
        self.assertIn("seeds 4 to 5", done.stderr)
        self.assertEqual([file["seed"] for file in json.loads(done.stdout)["files"]], [4, 5])

    def test_jpeg_and_webp_carry_the_request_as_the_web_ui_does(self):
        png = self.draw("--seed", 5, "-o", "a.png")[0]
        parameters = Image.open(self.folder / png).text["parameters"]
        pixels = Image.open(self.folder / png).convert("RGB").tobytes()
        for name in ("a.jpg", "a.jpeg", "a.webp"):
            picture = Image.open(self.folder / self.draw("--seed", 5, "-o", name)[0])
            comment = picture.getexif().get_ifd(EXIF_IFD)[USER_COMMENT]
            self.assertEqual(comment[:8], b"UNICODE\0")
            self.assertEqual(comment[8:].decode("utf-16-be"), parameters)
            off = sum(abs(a - b) for a, b in zip(pixels, picture.convert("RGB").tobytes())) / len(pixels)
            self.assertLess(off, 6, name)  # of 255, what a small noisy picture loses
            again, = self.draw("--from", name, "-o", f"{name}.png")
            self.assertEqual(self.bytes_of(again), self.bytes_of(png))

    def test_standard_output_takes_one_png(self):
        done = self.run_program("draw", "a cat", *SMALL, "--seed", 5, "-o", "-", text=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"seed 5", done.stderr)
        self.assertEqual(Image.open(io.BytesIO(done.stdout)).size, (64, 64))
        self.draw("--seed", 5, "-o", "a.png")
        self.assertEqual(done.stdout, self.bytes_of("a.png"))
        self.refused(["-", "one picture"], "-o", "-", "--count", 2)
        self.refused(["--json"], "-o", "-", "--json")

    def test_a_grid_is_one_picture_of_all_values(self):
        self.assertEqual(self.draw("--grid", "seed=1,2,3 steps=1,2", "-o", "grid.png"), ["grid.png"])
        width, height = Image.open(self.folder / "grid.png").size
        self.assertGreater(width, 3 * 64)
        self.assertGreater(height, 2 * 64)
        cell = Image.open(self.folder / self.draw("--seed", 2, "-o", "cell.png")[0]).convert("RGB")
        page = Image.open(self.folder / "grid.png").convert("RGB")
        found = [(x, y) for x in range(width - 63) for y in range(height - 63)
                 if page.getpixel((x, y)) == cell.getpixel((0, 0))
                 and page.crop((x, y, x + 64, y + 64)).tobytes() == cell.tobytes()]
        self.assertEqual(len(found), 1)
        self.assertGreater(min(found[0]), 10)  # labels before and above
        self.refused(["steps", "many"], "--grid", "steps=many")
        self.refused(["did you mean 'steps'"], "--grid", "stepz=1,2")

    def test_a_grid_has_cells_of_several_models(self):
        self.draw("--grid", "model=mini,low", "-o", "grid.png", "--seed", 2)
        page = Image.open(self.folder / "grid.png").convert("RGB")
        for model in ("mini", "low"):
            cell = Image.open(self.folder / self.draw("--model", model, "--seed", 2, "-o", f"{model}.png")[0])
            self.assertIn(True, [page.crop((x, y, x + 64, y + 64)).tobytes() == cell.convert("RGB").tobytes()
                                 for x in range(page.width - 63) for y in range(page.height - 63)])
        self.refused(["did you mean", "mini"], "--grid", "model=mini,minni")
        self.refused(["--model"], "--grid", "model=mini,low", "--model", "mini")

    def test_a_preview_is_there_while_a_picture_is_drawn_and_spares_other_pictures(self):
        self.draw("-o", "mine.png")
        before = self.bytes_of("mine.png")
        self.refused(["--preview", "mine.png", "--overwrite"], "--preview", "mine.png")
        self.assertEqual(self.bytes_of("mine.png"), before)
        for _ in range(2):
            self.draw("-o", "a.png", "--preview", "now.png")
            self.assertEqual(Image.open(self.folder / "now.png").size, (64, 64))

    def test_prompts_of_a_file_are_all_drawn(self):
        (self.folder / "animal.txt").write_text("cat\ndog\n")
        (self.folder / "prompts.txt").write_text("# mine\na __animal__\n\na {red|blue} hat\n")
        done = self.run_program("draw", *SMALL, "--prompts", "prompts.txt", "--count", 2, "--seed", 5, "-o",
                                "{index} {prompt}.png")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("seeds 5 to 8", done.stderr)
        names = done.stdout.splitlines()
        self.assertEqual(len(names), 4)
        for i, name in enumerate(names):
            self.assertRegex(name, f"^{i} a " + ("(cat|dog)" if i < 2 else "(red|blue) hat") + r"\.png$")
            again = self.run_program("draw", *SMALL, name[2:-4], "--seed", 5 + i, "-o", f"again{i}.png")
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(self.bytes_of(f"again{i}.png"), self.bytes_of(name))
        (self.folder / "own.txt").write_text("a cat --model low --seed 30 --steps 2\na dog\n")
        done = self.run_program("draw", *SMALL, "--prompts", "own.txt", "--seed", 5, "-o", "{model}/own{index}.png")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("seeds 30, 5", done.stderr)
        for flags, name in ((["a cat", "--model", "low", "--seed", 30, "--steps", 2], "low/own0.png"),
                            (["a dog", "--seed", 5], "mini/own1.png")):
            again = self.run_program("draw", *SMALL, *flags, "--overwrite", "-o", "alone.png")
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(self.pixels_of("alone.png"), self.pixels_of(name))
        for words, text in ((["nothing"], "__nothing__\n"), (["'--steps'"], "a cat --stepz 3\n"), (["prompt a line"], "# x\n"), (["--lora"], "a<lora:x:1>\n")):
            (self.folder / "wrong.txt").write_text(text)
            done = self.run_program("draw", *SMALL, "--prompts", "wrong.txt")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(words[0], done.stderr)


if __name__ == "__main__":
    unittest.main()
