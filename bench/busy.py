"""Times two drawings side by side on the same cores, and one alone, with the program's own waiting policy at barriers
and with libgomp's. Every figure is a ratio of runs that were made by turns.

Usage: busy.py [PROGRAM] [--rounds 7] [--draw WORDS...]
Goals: side by side, each picture takes at most 1.5 times as long as alone; alone, at most 3 % is lost against
libgomp's policy.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
DRAW = ["draw", "a red apple, 3D render", "--seed", "1", "--steps", "20", "--quiet"]
LIBGOMP_SPINS = "300000"  # what libgomp takes where nothing is said


def environment(own: bool) -> dict[str, str]:
    told = {key: value for key, value in os.environ.items()
            if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")}
    return {**told, "PANGU_HOME": str(ROOT), **({} if own else {"GOMP_SPINCOUNT": LIBGOMP_SPINS})}


def seconds(program: str, words: list[str], at_once: int, own: bool, folder: str) -> float:
    """Returns the seconds of `at_once` drawings that begin together, until the last one ends."""
    begun = time.perf_counter()
    running = [subprocess.Popen([program, *words, "--out", f"{folder}/{number}.png", "--overwrite"],
                                env=environment(own), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for number in range(at_once)]
    for process in running:
        if process.wait() != 0:
            raise SystemExit(f"{program} {' '.join(words)}: exit code {process.returncode}")
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", default=str(ROOT / "build/release/pangu-draw"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--draw", nargs="+", default=DRAW)
    args = parser.parse_args()
    kinds = [(1, True), (1, False), (2, True), (2, False)]
    taken = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        seconds(args.program, args.draw, 1, True, folder)  # the files are in memory from now on
        for _ in range(args.rounds):
            for kind in kinds:
                taken[kind].append(seconds(args.program, args.draw, *kind, folder))

    def ratio(a, b) -> str:
        ratios = [x / y for x, y in zip(taken[a], taken[b])]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"

    print(f"alone: {statistics.median(taken[1, True]):.2f} s; side by side: {statistics.median(taken[2, True]):.2f} s")
    print(f"side by side / alone: {ratio((2, True), (1, True))}; with libgomp's waiting {ratio((2, False), (1, False))}")
    print(f"alone, own waiting / libgomp's: {ratio((1, True), (1, False))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
