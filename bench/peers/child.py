"""The bench's side of the protocol: a process a engine, asked by lines of JSON.

An engine first says {"ready": true}. Then it answers one line for every request:
  {"do": "load", ...}           loads the networks (models.py: load_request) -> {"seconds": S}
  {"do": "step", "calls": N}    evaluations of the denoiser with guidance    -> {"seconds": S}, of all
  {"do": "decode", "calls": N}  latents to pixels                            -> {"seconds": S}, of all
  {"do": "profile", "of": "step"}                    -> {"seconds": S, "kinds": {kind of operator: S}}
  {"do": "picture", "steps": N}                      -> {"seconds": S}; before that, after each part of the drawing
                                {"part": "prepare", "step" or "decode", "seconds": S}, and waits for {"do": "go"}
  {"do": "unload"}  of this program alone: takes the networks down, when its file of packed weights is whole -> {"seconds": S}
  {"do": "quit"}
or {"error": sentence}. The engine measures the seconds itself, so the pipe is not in them. Its own words go to a log.
"""
import json
import os
import pathlib
import selectors
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from records import high_water_bytes  # noqa: E402


class EngineFailed(Exception):
    """An engine cannot do what it was asked: that is a result of its row, no end of the bench."""


class CutOff(EngineFailed):
    """The bench's time was over before the engine answered, which says nothing of the engine."""


class Child:
    """until: a moment of the monotonic clock at which the bench has to end, or None."""

    def __init__(self, command, cpus, threads, log, environment=None, most_seconds=1800, until=None):
        own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        own.update(OMP_NUM_THREADS=str(threads), **(environment or {}))
        self.most_seconds, self.until, self.log_path = most_seconds, until, log
        self.started = time.monotonic()
        with open(log, "a", encoding="utf-8") as words:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words,
                                            env=own, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.buffer = b""

    def send(self, **request):
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):  # it ended, or was ended
            raise EngineFailed(self.last_words()) from None

    def receive(self):
        """Returns the next line; throws EngineFailed if the engine says so, ends, or says nothing for too long, and
        CutOff if the bench has to end."""
        deadline = time.monotonic() + self.most_seconds
        is_cut = self.until is not None and self.until < deadline
        deadline = self.until if is_cut else deadline
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    if is_cut:
                        raise CutOff("the time of the bench was over before it answered")
                    raise EngineFailed(f"no answer within {self.most_seconds} s")
                read = os.read(self.process.stdout.fileno(), 1 << 16)
                if not read:
                    raise EngineFailed(self.last_words())
                self.buffer += read
        line, self.buffer = self.buffer.split(b"\n", 1)
        told = json.loads(line)
        if "error" in told:
            raise EngineFailed(told["error"])
        return told

    def ask(self, **request):
        self.send(**request)
        return self.receive()

    def last_words(self):
        code = self.process.wait()
        with open(self.log_path, encoding="utf-8", errors="replace") as words:
            lines = [line.strip() for line in words if line.strip()]
        return f"ended with code {code}: {lines[-1] if lines else 'no word'}"[:300]

    def peak_bytes(self):
        """Returns the greatest resident set so far."""
        return high_water_bytes(self.process.pid)

    def end(self):
        if self.process.poll() is None:
            try:
                self.send(do="quit")
                over = self.until is not None and time.monotonic() > self.until
                self.process.wait(timeout=0 if over else 10)
            except (EngineFailed, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Probe:
    """The process that measures the machine's peak (probe.cpp)."""

    def __init__(self, program, cpus, threads, log, seconds=0.15):
        self.child = Child([program, "--threads", str(threads), "--seconds", str(seconds)], cpus, threads, log)

    def __call__(self):
        return self.child.ask()

    def end(self):
        self.child.process.stdin.close()  # which ends it
        self.child.process.wait()
        self.child.process.stdout.close()
