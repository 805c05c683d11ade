"""One drawing in a process of its own: seconds of its phases and its greatest memory, as one line.

  full_size_draw.py NAME PROGRAM DRAW_OPTIONS...

Memory is the resident set, mapped weight files included as far as they were touched.
"""
import json
import os
import subprocess
import sys
import tempfile
import time


def main():
    name, program, options = sys.argv[1], sys.argv[2], sys.argv[3:]
    steps = int(options[options.index("--steps") + 1])
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/said", "w+", encoding="utf-8") as said:
        command = [program, "draw", "a red fox, 雪", *options, "--seed", "1", "--json", "--timings", "--quiet",
                   "--out", f"{folder}/out.png"]
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        said.seek(0)
        if status != 0:
            sys.exit(f"full_size_draw: {name} failed")
        seconds = json.load(said)["seconds"]
    phases = "  ".join(f"{phase} {value:.2f} s" for phase, value in seconds.items())
    print(f"full size  {name:18}  {steps} steps  wall {wall:.1f} s  peak {usage.ru_maxrss / 1e6:.2f} GB  |  {phases}")


if __name__ == "__main__":
    main()
