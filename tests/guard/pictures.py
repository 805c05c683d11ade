"""Shows that a change of the program leaves its pictures as they were: draws what rows.py lists with fixed
seeds, and prints a hash of the pixels of each picture and of each plan.

  pictures.py PROGRAM [--out HASHES.txt]        draws; keeps the lines, and pictures/ beside them
  pictures.py PROGRAM --against OTHER_PROGRAM   draws with both, lists what differs
  pictures.py PROGRAM --against HASHES.txt      the same with what --out kept of another program

The Python needs Pillow and numpy, and for the first run what tools/install/requirements-test.txt lists: then
the tiny models are made and kept in --models. Exit code 0: all is as it was; 1: something differs; 2: a run
failed, or a row says nothing. Hashes are those of one machine: another processor rounds otherwise. The rows of
bf16 are left out where the processor does not multiply such numbers.
"""

import argparse
import dataclasses
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

import models
import rows

ROOT = pathlib.Path(__file__).resolve().parents[2]
INPUTS = "inputs"  # the row of what all programs read
MOST_CLIPPED = 0.9  # of a picture's bytes may be 0 or 255


class Failure(Exception):
    """A run that failed, or a picture that says nothing."""


@dataclasses.dataclass
class Result:
    """Of one program: the hash of every row, and where its pictures and texts are."""
    hashes: dict
    folder: pathlib.Path


def line(name, text):
    return f"{name:48}  {text}"


def file_name(row_name):
    return re.sub(r"[^a-z0-9-]+", "_", row_name.lower())


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def hash_of(data):
    return hashlib.sha256(data).hexdigest()[:16]


def hash_of_pixels(path, least_values):
    picture = pixels(path)
    values, counts = np.unique(picture, return_counts=True)
    if len(values) < least_values:
        raise Failure(f"{len(values)} different values in its picture, expected {least_values}")
    clipped = counts[(values == 0) | (values == 255)].sum() / picture.size
    if least_values == rows.Row.least_values and clipped > MOST_CLIPPED:
        raise Failure(f"{clipped:.0%} of its picture are black or white")
    return hash_of(repr(picture.shape).encode() + picture.tobytes())


def hash_of_inputs(folder):
    """Of all that a program may read: the tiny models, the embedded models and the examples."""
    found = hashlib.sha256()
    for top in (folder, ROOT / "models", ROOT / "examples"):
        for path in sorted(top.rglob("*")):
            if path.is_file() and path.suffix != ".md":
                found.update(str(path.relative_to(top)).encode())
                with path.open("rb") as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]


def has_bf16():
    """As the program decides."""
    info = pathlib.Path("/proc/cpuinfo")
    return info.exists() and {"avx2", "fma"} <= set(info.read_text(encoding="utf-8").split())


class Run:
    """One program over the rows; `out` gets its pictures and texts."""

    def __init__(self, program, inputs, out):
        self.program, self.inputs, self.out = program.resolve(), inputs, out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PANGU_")}
        self.environment |= {"PANGU_HOME": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

    def hashes_of(self, row):
        """{name: hash}, with the numbers that the program gives the files of several pictures."""
        base = self.out / (file_name(row.name) + (".txt" if row.prints() else ".png"))
        names = [row.name] if row.count == 1 else [f"{row.name}-{i}" for i in range(row.count)]
        files = [base.with_stem(file_name(name)) for name in names]
        for file in files:
            file.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            def filled(text):
                for word, value in (("{m}", self.inputs), ("{t}", scratch), ("{out}", base)):
                    text = text.replace(word, str(value))
                return text
            pathlib.Path(scratch, "recipe.toml").write_text(filled(row.recipe), encoding="utf-8")
            if row.before:
                self.said(map(filled, row.before))
            said = self.said(map(filled, row.arguments))
        if row.prints():
            if not said:
                raise Failure("it printed nothing")
            for path, word in ((self.inputs, b"{m}"), (ROOT, b"{root}")):
                said = said.replace(str(path).encode(), word)
            base.write_bytes(said)
            return {row.name: hash_of(said)}
        return {name: hash_of_pixels(file, row.least_values) for name, file in zip(names, files)}

    def said(self, arguments):
        """What the program printed."""
        command = [str(self.program), *arguments]
        done = subprocess.run(command, capture_output=True, cwd=ROOT, env=self.environment,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip()
            raise Failure(f"exit code {done.returncode}\n  {words}\n  {shlex.join(command)}")
        return done.stdout


def check_meaning(hashes, asked):
    """Complaints: rows that must be equal are not, or others are, so that a flag did nothing."""
    alike = {row.name: row.same_as for row in asked if row.same_as}
    complaints, seen = [], {}
    for name, found in hashes.items():
        expected = alike.get(name)
        if expected and hashes.get(expected, found) != found:
            complaints.append(f"'{name}' is not '{expected}'")
        if not expected and found in seen:
            complaints.append(f"'{name}' is the same as '{seen[found]}', so it says nothing")
        seen.setdefault(found, name)
    return complaints


def drawn(program, asked, inputs, out):
    """Draws and prints all rows, also behind one that failed. The Result, and the number of complaints."""
    run, start = Run(program, inputs, out), time.monotonic()
    hashes, failed, seconds = {INPUTS: hash_of_inputs(inputs)}, 0, {}
    print(line(INPUTS, hashes[INPUTS]), flush=True)
    for row in asked:
        begun = time.monotonic()
        try:
            found = run.hashes_of(row)
        except (Failure, OSError) as failure:
            failed += 1
            print(f"FAILED '{row.name}': {failure}", file=sys.stderr, flush=True)
            continue
        seconds[row.name] = time.monotonic() - begun
        hashes |= found
        for name, one in found.items():
            print(line(name, one), flush=True)
    complaints = check_meaning(hashes, asked)
    for complaint in complaints:
        print(f"FAILED {complaint}", file=sys.stderr)
    slow = ", ".join(f"{name} {seconds[name]:.1f} s" for name in sorted(seconds, key=seconds.get)[:-4:-1])
    whole = time.monotonic() - start
    print(f"{len(hashes)} rows in {whole:.0f} s (slowest: {slow})", file=sys.stderr, flush=True)
    return Result(hashes, run.out), failed + len(complaints)


def kept(path, pattern):
    """What --out wrote."""
    with path.open(encoding="utf-8") as file:
        found = dict(one.rsplit(None, 1) for one in file if one.strip())
    found = {name.strip(): one for name, one in found.items()}
    return Result({name: one for name, one in found.items() if name == INPUTS or re.search(pattern, name)},
                  path.parent / "pictures")


def difference(name, before, after):
    """In words: of pictures how far they are apart, of texts the first line, where both are at hand."""
    folders = (before.folder, after.folder)
    pictures, texts = ([folder / (file_name(name) + end) for folder in folders] for end in (".png", ".txt"))
    if all(path.exists() for path in pictures):
        one, other = (pixels(path).astype(float) for path in pictures)
        if one.shape != other.shape:
            return f"{one.shape[1]}x{one.shape[0]} became {other.shape[1]}x{other.shape[0]}"
        apart = np.abs(one - other)
        return f"max {apart.max():.0f}, mean {apart.mean():.4f} of 255"
    if all(path.exists() for path in texts):
        pairs = zip(*(path.read_text(encoding="utf-8").splitlines() for path in texts))
        return next((f"'{one}' became '{other}'" for one, other in pairs if one != other), "another length")
    return "differs"


def compare(before, after):
    """Prints what differs; how many rows do."""
    if before.hashes[INPUTS] != after.hashes[INPUTS]:
        print("The models or examples are others: what follows is not about the programs alone.")
    different = []
    for name in before.hashes | after.hashes:
        if name not in after.hashes or name not in before.hashes:
            different.append(line(name, f"only {'after' if name in after.hashes else 'before'}"))
        elif before.hashes[name] != after.hashes[name]:
            different.append(line(name, difference(name, before, after)))
    print("\n".join([f"{len(different)} rows differ:", *different]) if different
          else f"all {len(after.hashes)} rows are equal")
    return len(different)


def main():
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path, help="another program, or the file (.txt) of --out")
    parser.add_argument("--out", type=pathlib.Path, help="file to write the lines of PROGRAM to")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "build/guard",
                        help="folder of the tiny models, made if there is none (%(default)s)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression of names")
    arguments = parser.parse_args()
    assert len({file_name(row.name) for row in rows.ROWS}) == len(rows.ROWS)
    asked = [row for row in rows.ROWS if re.search(arguments.only, row.name) and (has_bf16() or not row.bf16)]
    if not asked:
        parser.error(f"no row matches '{arguments.only}'")
    for path in filter(None, (arguments.program, arguments.against)):
        if not path.is_file():
            parser.error(f"there is no file '{path}'")
    inputs = arguments.models.resolve()
    if not inputs.exists():
        print(f"making the tiny models in {inputs}", file=sys.stderr, flush=True)
        models.make(inputs)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.out.resolve().parent if arguments.out else pathlib.Path(scratch)
        result, failed = drawn(arguments.program, asked, inputs, folder / "pictures")
        if arguments.out:
            text = "".join(line(name, one) + "\n" for name, one in result.hashes.items())
            arguments.out.write_text(text, encoding="utf-8")
        if not arguments.against:
            return 2 if failed else 0
        # PROGRAM against another one: PROGRAM was there before. Against kept hashes: those were.
        if arguments.against.suffix == ".txt":
            differ = compare(kept(arguments.against, arguments.only), result)
        else:
            other, more = drawn(arguments.against, asked, inputs, folder / "pictures_against")
            failed, differ = failed + more, compare(result, other)
    return 2 if failed else 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
