#!/usr/bin/env python3
"""Compares a step of Stable Diffusion 1.5 at 512x512 (two rows) by the kernels of a level with libtorch's operators in f32
that are held to the same instructions, by turns, on the machine at hand. Random weights; nothing is downloaded.

    ninja -C build/release bench_unet_step && bench/levels.py [--levels avx2,avx512] [--threads 2] [--rounds 5]

Prints a table in Markdown: seconds of a step (the least of each process, the median over processes), the greatest resident
set while stepping, and the ratio of libtorch's time to ours (the median over rounds)."""
import argparse
import os
import pathlib
import re
import statistics
import subprocess

import records

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What holds libtorch (its own loops, oneDNN, MKL) to a level's instructions.
HELD = {
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
    "avx512_bf16": {},
}
# Flags of /proc/cpuinfo, as kernels/level.cpp asks for them; with a level that a processor has not the program would
# compute by another one.
NEEDED = {"avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
          "avx512_bf16": {"avx512_vnni", "avx512_bf16"}}


def measured(program, options, level, ours):
    """Seconds of a step and GiB resident, in a process of its own."""
    environment = {**os.environ, **HELD[level], "PANGU_KERNELS": level if ours else "plain"}
    command = [program, "--threads", str(options.threads), "--runs", str(options.runs), "--size", str(options.size // 8)]
    command += ["--packed", "--dtype", "bf16"] if ours else ["--dtype", "f32"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found = re.search(r"prepared ([\d.]+) ms.* ([\d.]+) GiB", said)
    return float(found[1]) / 1e3, float(found[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", help="of %s; default: avx2, and avx512 where the processor has it" % ", ".join(HELD))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each")
    parser.add_argument("--runs", type=int, default=2, help="steps of a process, after the first")
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    parser.add_argument("--program", default=ROOT / "build/release/bench/bench_unet_step")
    options = parser.parse_args()
    flags = records.processor_flags()
    levels = options.levels.split(",") if options.levels else [name for name in ("avx2", "avx512") if NEEDED[name] <= flags]
    for level in levels:
        if level not in HELD or not NEEDED[level] <= flags:
            parser.error(f"--levels: expected levels of this processor, of {', '.join(HELD)}, found {level}")
    print("| level | kernels, bf16 | libtorch, f32 | times ours | resident | libtorch's |\n|---|---|---|---|---|---|")
    for level in levels:
        pairs = [(measured(options.program, options, level, True), measured(options.program, options, level, False))
                 for _ in range(options.rounds)]
        ours, theirs = zip(*pairs)
        ratio = statistics.median(t[0] / o[0] for o, t in pairs)
        print(f"| `{level}` | {statistics.median(o[0] for o in ours):.2f} s | {statistics.median(t[0] for t in theirs):.2f} s "
              f"| {ratio:.2f} | {max(o[1] for o in ours):.2f} GiB | {max(t[1] for t in theirs):.2f} GiB |", flush=True)


if __name__ == "__main__":
    main()
