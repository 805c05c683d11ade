#!/usr/bin/env python3
"""Measures `pangu-draw eval pictures` on many small pictures, with a FID network of the field's shape and random weights: the
time and the most memory of FID, KID and Inception Score against a reference of the same kind.

    bench/eval_pictures.py PROGRAM FOLDER [--pictures 30000] [--side 64] [--reference 2000] [--batch 16] [--page]
    bench/eval_pictures.py --page

FOLDER keeps the pictures (30,000 of 64 px are 190 MB) and the statistics of the reference. A bar stands for the memory of
the whole: above it the bench fails. What was found is printed and, of 30,000 pictures or more, appended to
bench/results/eval-pictures-PROCESSOR.jsonl; --page puts the last record of every processor into docs/evaluation.md.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools" / "parity")]
import records  # noqa: E402

BAR_GIB = 2e9 / 2**30  # 2 GB
RECORDED = 30000
KID_SUBSET = 1000
SEED = 1
HEAD = ("pictures", "time", "a second", "most memory", "bar", "measured")


def make_pictures(folder, count, side_px, seed):
    """Soft blots of random colours; those that are there stay."""
    import numpy
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    generator = numpy.random.default_rng(seed)
    for i in range(count):
        noise = generator.integers(0, 256, (5, 5, 3), dtype=numpy.uint8)
        path = folder / f"{i:06d}.png"
        if not path.exists():
            Image.fromarray(noise).resize((side_px, side_px), Image.BICUBIC).save(path)
    return folder


def weights_in(folder):
    path = folder / "fid.pth"
    if not path.exists():
        import eval_libraries
        eval_libraries.random_inception(SEED, path)
    return path


def evaluated(args, pictures, *flags):
    """Returns the scores, and the most memory of the process in GiB."""
    scores = args.folder / "scores.json"
    scores.unlink(missing_ok=True)
    process = subprocess.Popen([str(word) for word in (
        args.program, "eval", "pictures", pictures, "--fid-weights", weights_in(args.folder), "--measure-batch", args.batch,
        "--json", scores, "-q", *flags)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"bench/eval_pictures.py: pangu-draw ended with {os.waitstatus_to_exitcode(status)}")
    return json.loads(scores.read_text()), used.ru_maxrss / 2**20


def measured(args):
    drawn = make_pictures(args.folder / f"drawn-{args.side}-{args.pictures}", args.pictures, args.side, SEED)
    real = make_pictures(args.folder / f"real-{args.side}-{args.reference}", args.reference, args.side, SEED + 1)
    if len(list(drawn.iterdir())) != args.pictures:
        sys.exit(f"bench/eval_pictures.py: expected {args.pictures} pictures in '{drawn}', found others; empty it")
    statistics = real.with_suffix(".safetensors")
    if not statistics.exists():
        evaluated(args, real, "--out", statistics)
    record = {"pictures": args.pictures, "side_px": args.side, "reference": args.reference, "bar_gib": BAR_GIB,
              "begun": records.now(), "machine": records.processor()["model name"], "program": records.program_version(),
              "busy_before": os.getloadavg()[0], "batch": args.batch}
    subset = min(KID_SUBSET, args.pictures, args.reference)
    scores, peak_gib = evaluated(args, drawn, "--reference", statistics, "--kid-subset-size", subset)
    return {**record, "seconds": scores["seconds"], "threads": scores["threads"], "peak_gib": peak_gib}


def told(record):
    return (f"{record['pictures']} pictures of {record['side_px']} px: {record['seconds'] / 60:.1f} minutes, "
            f"{record['pictures'] / record['seconds']:.1f} a second on {record['threads']} threads, "
            f"{record['peak_gib']:.2f} GiB at most (bar {record['bar_gib']:.2f} GiB)")


def page_section(found):
    lines = []
    for record in {record["machine"]: record for record in found}.values():
        missed = "" if record["peak_gib"] <= record["bar_gib"] else " **above the bar**"
        lines.append((f"{record['pictures']} of {record['side_px']} px", f"{record['seconds'] / 60:.0f} minutes",
                      f"{record['pictures'] / record['seconds']:.1f}", f"{record['peak_gib']:.2f} GiB{missed}",
                      f"{record['bar_gib']:.2f} GiB", f"{record['begun'][:10]}, {record['machine']}, "
                      f"{record['threads']} threads{records.busy_text(record)}, {record['program']}"))
    return records.table(HEAD, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program", type=pathlib.Path, nargs="?")
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--pictures", type=int, default=RECORDED)
    parser.add_argument("--side", type=int, default=64, help="of the pictures, in pixels")
    parser.add_argument("--reference", type=int, default=2000, help="pictures that they are compared with")
    parser.add_argument("--batch", type=int, default=16, help="pictures in one forward")
    parser.add_argument("--results", type=pathlib.Path, help="default: a file of bench/results for this processor")
    parser.add_argument("--page", action="store_true", help="write the records that there are into docs/evaluation.md")
    args = parser.parse_args()
    if args.folder is None and not args.page:
        parser.error("expected PROGRAM and FOLDER, or --page")
    record = None
    if args.folder is not None:
        import eval_libraries
        eval_libraries.enter()
        args.folder.mkdir(parents=True, exist_ok=True)
        record = measured(args)
        print(told(record), flush=True)
        if args.pictures >= RECORDED:
            path = args.results or records.results_path("eval-pictures", "model name", "cpu family", "model")
            records.append(path, record)
    if args.page:
        records.write_section("docs/evaluation.md", "bench/eval_pictures", page_section(records.read("eval-pictures")))
    if record and record["peak_gib"] > record["bar_gib"]:
        sys.exit("bench/eval_pictures.py: above its bar")


if __name__ == "__main__":
    main()
