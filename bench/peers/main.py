"""Compares this program with its peers on this machine: same shapes, same random weights, in alternation on the same
cores, every sample between two probes of the peak. bench/peers/run.sh calls it; docs/performance.md says how it measures.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys

from engines import ENGINES, ROOT, records, version_of
from engines.openvino_convert import is_converted
from measure import Bench, Results, free_bytes, measure
from rows import chosen_rows, engines_of
from table import GIB, HEAD, memory_rows_of, plain, rows_of
from weights import weights_of

QUICK_MINUTES = 13.5       # what is going on then is still finished
QUICK_MOST_MINUTES = 14.5  # but for what would go on after this: under 15 in all
FLAGS = re.compile(r"avx2|avx_vnni|avx512\w*|amx\w*|fma")


def machine_record(threads, cpus):
    cpu = records.processor()
    with open("/proc/meminfo", encoding="utf-8") as info:
        memory = int(next(line for line in info if line.startswith("MemTotal")).split()[1]) * 1024
    versions = {}
    for engine in ENGINES:
        try:
            versions[engine] = version_of(engine)
        except ModuleNotFoundError:
            versions[engine] = "not installed"
    return {"processor": cpu["model name"], "family": cpu["cpu family"], "model": cpu["model"],
            "stepping": cpu["stepping"], "flags": [f for f in cpu["flags"].split() if FLAGS.fullmatch(f)],
            "cpus": sorted(cpus), "threads": threads, "memory_bytes": memory, "kernel": os.uname().release,
            "python": sys.version.split()[0], "versions": versions}


def read_settings():
    parser = argparse.ArgumentParser(prog="bench/peers/run.sh", description=__doc__)
    parser.add_argument("--rows", default="", metavar="REGEX", help="measure the rows whose names it is found in")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=[], metavar="A,B",
                        help=f"compare ours with these alone, of {', '.join(ENGINES)}; where there is no bf16, "
                             "the name of an engine in bf16 means the one in f32")
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds: under 15 minutes in all")
    parser.add_argument("--steps", type=int, default=None, metavar="N",
                        help="of whole runs, at most; fewer than the model's show load, first step and peak memory alone")
    parser.add_argument("--minutes", type=float, default=None, help="begin nothing new after so many")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--table", action="store_true", help="print the table of the results there are and end")
    parser.add_argument("--prepare", action="store_true", help="make weights and converted networks and end")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpus", type=lambda text: {int(cpu) for cpu in text.split(",")}, default=None, metavar="0,1",
                        help="the processors that all engines are pinned to; default: the first --threads of them")
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="folder of weights, converted networks, logs")
    parser.add_argument("--results", type=pathlib.Path, default=None,
                        help="file that results are appended to; default: one for this processor in bench/results")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/release/bench",
                        help="folder of bench_peers_engine and bench_peers_probe")
    parser.add_argument("--probe-seconds", type=float, default=0.15)
    parser.add_argument("--tiny", action="store_true", help="tiny networks in place of all rows, to test the bench")
    settings = parser.parse_args()
    settings.most_minutes = None
    if settings.quick and settings.minutes is None:
        settings.minutes, settings.most_minutes = QUICK_MINUTES, QUICK_MOST_MINUTES
    if settings.steps is not None and settings.steps < 1:
        parser.error(f"--steps: expected 1 or more, found {settings.steps}")
    unknown = set(settings.engines) - set(ENGINES)
    if unknown:
        parser.error(f"--engines: expected {', '.join(ENGINES)}, found {', '.join(sorted(unknown))}")
    return settings


def prepare(settings, rows):
    """Makes what is kept in the cache, in processes of its own: conversion takes memory that would not come back."""
    for model in dict.fromkeys(row.model for row in rows):
        weights_of(model, settings.cache)
    wanted = {(row.model, ENGINES[engine].options["weights"]): version_of(engine) for row in rows
              for engine in engines_of(row, settings.engines, settings.quick)
              if engine.startswith("openvino") and is_there(engine)}
    for (model, weights), version in sorted(wanted.items()):
        if not is_converted(model, weights, settings.cache):
            convert(model, weights, settings.cache, version)


def convert(model, weights, cache, version):
    """Makes OpenVINO's networks. What fails is not tried again by the same version: that would take minutes each time."""
    failed = cache / "openvino" / model / f"{weights}.failed"
    if failed.exists() and failed.read_text(encoding="utf-8") == version:
        return
    # Measured with Stable Diffusion 1.5: calibration takes 7.1 times the denoiser's weights. One that does not fit would
    # take other programs' memory before it is killed.
    unet = sum(path.stat().st_size for path in (weights_of(model, cache) / "unet").glob("*.safetensors"))
    if weights == "w8a8" and 7.5 * unet > free_bytes():
        print(f"{model}: {weights} is not converted for OpenVINO: expected {7.5 * unet / GIB:.0f} GiB of free memory, found "
              f"{free_bytes() / GIB:.0f}", flush=True)
        return
    program = pathlib.Path(__file__).parent / "engines/openvino_convert.py"
    if subprocess.run([sys.executable, str(program), model, weights, str(cache)], check=False).returncode != 0:
        failed.parent.mkdir(parents=True, exist_ok=True)
        failed.write_text(version, encoding="utf-8")
        print(f"{model}: {weights} could not be converted for OpenVINO. Hint: without {failed} it is tried again", flush=True)


def is_there(engine):
    try:
        return bool(version_of(engine))
    except ModuleNotFoundError:
        return False


def print_tables(found):
    titles = {name: name for name in ENGINES}
    print(plain(HEAD, rows_of(found, titles)))
    print("\n" + plain(("row", "engine", "greatest resident set"), memory_rows_of(found, titles)))


def main():
    settings = read_settings()
    rows = chosen_rows(settings.rows, settings.quick, settings.tiny)
    if not rows:
        sys.exit(f"bench/peers: --rows {settings.rows}: expected a part of a row's name, found none (--list)")
    if settings.list:
        for row in rows:
            print(f"{row.name:20} {' '.join(engines_of(row, settings.engines, settings.quick))}")
        return
    cpus = settings.cpus or set(sorted(os.sched_getaffinity(0))[:settings.threads])
    results = Results(settings.results or records.results_path("peers", "model name", "cpu family", "model"))
    if settings.table:
        print_tables(results.records)
        return
    prepare(settings, rows)
    if settings.prepare:
        return
    bench = Bench(settings, results, cpus)
    results.append(kind="machine", run=bench.run, quick=settings.quick, **machine_record(settings.threads, cpus))
    try:
        measure(bench, rows)
    finally:
        bench.probe.end()
        bench.packed.clear()
    print_tables(results.records)


if __name__ == "__main__":
    main()
