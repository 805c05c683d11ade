"""Runs the program once in a process of its own and prints its seconds and its peak memory as one line. Fails above
MOST_GB.

  full_size_run.py NAME MOST_GB PROGRAM {draw,convert} ARGUMENTS...      MOST_GB: 0 is no limit

Memory is the resident set, mapped weight files included as far as they were touched. GB are 10^9 bytes.
"""
import json
import os
import subprocess
import sys
import tempfile
import time


def main():
    name, most_gb, program, what, arguments = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:]
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/said", "w+", encoding="utf-8") as said:
        command = [program, what, *arguments, "--json", "--quiet"]
        if what == "draw":
            what = f"{arguments[arguments.index('--steps') + 1]} steps"
            command += ["--seed", "1", "--out", f"{folder}/out.png"]
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        said.seek(0)
        if status != 0:
            sys.exit(f"full_size_run: {name} failed")
        seconds = json.load(said).get("seconds", {})
    peak_gb = usage.ru_maxrss * 1024 / 1e9
    phases = "  ".join(f"{phase} {value:.2f} s" for phase, value in seconds.items())
    print(f"full size  {name:18}  {what}  wall {wall:.1f} s  peak {peak_gb:.2f} GB  |  {phases}", flush=True)
    if most_gb and peak_gb > most_gb:
        sys.exit(f"full_size_run: {name}, memory: expected at most {most_gb} GB, found {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
