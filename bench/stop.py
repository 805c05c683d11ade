"""How long a drawing takes to end after Ctrl-C, wherever it is.

  stop.py PROGRAM MODEL [--size WxH] [--moments N] [--limit SECONDS] [-- more flags of draw]

Draws one picture to see how long it takes, then begins it again N times and sends SIGINT at moments spread evenly
over that time, so that loading, encoding, stepping and decoding are all met. Prints the seconds from the signal to
the end of the process, and exits with 1 if the longest is above the limit (2 s).
"""
import argparse
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

STOPPED = 130


def begin(command: list[str]) -> subprocess.Popen:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--moments", type=int, default=12)
    parser.add_argument("--limit", type=float, default=2.0)
    parser.add_argument("flags", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = pathlib.Path(folder) / "picture.png"
        command = [arguments.program, "draw", "a red apple", "--model", arguments.model, "--size", arguments.size,
                   "--steps", "2", "--seed", "1", "--quiet", "--out", str(picture), *arguments.flags]
        begun = time.monotonic()
        whole = begin(command)
        _, said = whole.communicate()
        assert whole.returncode == 0, said
        whole_s = time.monotonic() - begun
        picture.unlink()
        print(f"the whole drawing takes {whole_s:.1f} s")
        longest_s = 0.0
        for moment in range(arguments.moments):
            at_s = whole_s * (moment + 0.5) / arguments.moments
            drawing = begin(command)
            time.sleep(at_s)
            if drawing.poll() is not None:
                print(f"  at {at_s:5.1f} s: it was done already")
                continue
            sent = time.monotonic()
            drawing.send_signal(signal.SIGINT)
            _, said = drawing.communicate()
            took_s = time.monotonic() - sent
            assert drawing.returncode == STOPPED and not picture.exists(), (drawing.returncode, said)
            longest_s = max(longest_s, took_s)
            print(f"  at {at_s:5.1f} s: ended after {took_s:.2f} s: {said.strip().splitlines()[-1]}")
        print(f"the longest: {longest_s:.2f} s")
        return 1 if longest_s > arguments.limit else 0


if __name__ == "__main__":
    sys.exit(main())
