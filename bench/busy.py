#!/usr/bin/env python3
"""Times two drawings side by side on the same cores, and one alone, by turns.

    bench/busy.py [PROGRAM] [--rows mini sd15] [--rounds N] [--cache DIR]
    bench/busy.py [PROGRAM] --draw draw "a red apple" --model FOLDER --steps 4 ...

A drawing is a process as people start it, with as many threads as there are cores. Side by side counts until the later
of the two ends. Row mini (models/mini) is drawn with the program's own waiting policy at barriers and with libgomp's;
alone, at most 3 % may be lost against libgomp's. Row sd15 (Stable Diffusion 1.5, the random weights of bench/peers in
--cache, which are made there if there are none) draws few steps. What rows find is printed, and appended to
bench/results/busy-PROCESSOR.jsonl, from which tools/performance_page.py writes it into docs/performance.md. The exit code
is 1 if the median over rounds is above a row's bar. --draw takes the rest of the line: it measures other words of
pangu-draw, and keeps no record.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "peers")]
import records  # noqa: E402

ROOT = HERE.parent
LIBGOMP_SPINS = "300000"  # what libgomp takes where nothing is said
ALONE, TWO, ALONE_LIBGOMP, TWO_LIBGOMP = KINDS = ("alone", "side_by_side", "alone_libgomp", "side_by_side_libgomp")
# What is drawn; steps; rounds; the kinds that are timed; bar of side by side / alone.
ROWS = {"mini": ("models/mini, 256x256", 20, 7, KINDS, 1.5),
        "sd15": ("Stable Diffusion 1.5, 512x512", 4, 3, (ALONE, TWO), 2.2)}
HEAD = ("drawing", "steps", "alone", "two side by side", "times alone [least, greatest]", "bar", "rounds", "measured")


def environment(own_waiting):
    told = {key: value for key, value in os.environ.items()
            if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")}
    return {**told, "PANGU_HOME": str(ROOT), **({} if own_waiting else {"GOMP_SPINCOUNT": LIBGOMP_SPINS})}


def seconds(program, words, kind, folder):
    """Returns the seconds of drawings that begin together, one or two, until the last one ends."""
    at_once = 2 if kind in (TWO, TWO_LIBGOMP) else 1
    begun = time.perf_counter()
    running = [subprocess.Popen([program, *words, "--out", f"{folder}/{number}.png", "--overwrite"],
                                env=environment(kind in (ALONE, TWO)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for number in range(at_once)]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"{program} {' '.join(words)}: exit code {max(codes)}")
    return time.perf_counter() - begun


def words_of(row, steps, cache, folder):
    words = ["draw", "a red apple, 3D render", "--seed", "1", "--steps", str(steps), "--quiet"]
    if row == "mini":
        return words
    import weights  # of bench/peers; needs its Python only where the weights are not there yet
    return [*words, "--model", str(weights.weights_of(row, cache)), "--packed-weights", folder]


def timed(program, words, kinds, rounds, folder):
    """Returns {kind: seconds of every round}."""
    seconds(program, words, ALONE, folder)  # files are in memory from now on, and weights are packed
    taken = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            taken[kind].append(seconds(program, words, kind, folder))
    return taken


def ratios(taken, a, b):
    return [x / y for x, y in zip(taken[a], taken[b])]


def shown(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def tell(name, taken):
    print(f"{name}: alone {statistics.median(taken[ALONE]):.2f} s, side by side {statistics.median(taken[TWO]):.2f} s")
    print(f"  side by side / alone: {shown(ratios(taken, TWO, ALONE))}")
    if TWO_LIBGOMP in taken:
        print(f"  side by side / alone with libgomp's waiting: {shown(ratios(taken, TWO_LIBGOMP, ALONE_LIBGOMP))}")
        print(f"  alone, own waiting / libgomp's: {shown(ratios(taken, ALONE, ALONE_LIBGOMP))}", flush=True)


def page_section(found):
    """The last record of every row."""
    last, lines = {record["row"]: record for record in found}, []
    for row, (what, *_) in ROWS.items():
        if row in last:
            record = last[row]
            taken, bar = record["seconds"], record["bar"]
            ratio = ratios(taken, TWO, ALONE)
            missed = " **above the bar**" if statistics.median(ratio) > bar else ""
            lines.append((what, str(record["steps"]), f"{statistics.median(taken[ALONE]):.2f} s",
                          f"{statistics.median(taken[TWO]):.2f} s", shown(ratio) + missed, f"{bar}", str(len(ratio)),
                          f"{record['begun'][:10]}, {record['cores']} cores, {record['program']}"))
    return records.table(HEAD, lines)


def measure(args, row):
    what, steps, rounds, kinds, bar = ROWS[row]
    steps, rounds = args.steps or steps, args.rounds or rounds
    record = {"row": row, "begun": records.now(), "machine": records.processor()["model name"],
              "cores": len(os.sched_getaffinity(0)), "program": records.program_version(), "busy_before": os.getloadavg()[0],
              "steps": steps, "bar": bar}
    args.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.cache) as folder:
        taken = timed(args.program, words_of(row, steps, args.cache, folder), kinds, rounds, folder)
    tell(what, taken)
    records.append(args.results or records.results_path("busy", "model name", "cpu family", "model"),
                   {**record, "seconds": taken})
    return statistics.median(ratios(taken, TWO, ALONE)) <= bar


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=str(ROOT / "build/release/pangu-draw"))
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=["mini"])
    parser.add_argument("--rounds", type=int, help="default: the row's")
    parser.add_argument("--steps", type=int, help="default: the row's")
    parser.add_argument("--cache", type=pathlib.Path, help="folder of weights; default: that of bench/peers",
                        default=pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pangu-draw-bench")
    parser.add_argument("--results", type=pathlib.Path, help="default: a file of bench/results for this processor")
    parser.add_argument("--draw", nargs=argparse.REMAINDER, metavar="WORD")
    args = parser.parse_args()
    if args.draw:
        with tempfile.TemporaryDirectory() as folder:
            tell(" ".join(args.draw), timed(args.program, args.draw, KINDS, args.rounds or ROWS["mini"][2], folder))
        return 0
    missed = [row for row in args.rows if not measure(args, row)]
    if missed:
        print(f"bench/busy.py: above their bars: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
