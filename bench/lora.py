#!/usr/bin/env python3
"""Trains a LoRA of a model at its real size with random weights, and prints the time of a step and the most memory.

    bench/lora.py PROGRAM MODEL [--resolution 512] [--rank 16] [--steps 6] [--threads 2] [--precision bf16] [--most-gib 4]
    bench/lora.py PROGRAM MODEL --peers [--rounds 9] [--steps 2] [--no-checkpointing] [--results FILE]

MODEL is a file of `bench/full_size_weights.py sd15 FOLDER`, or any other that `train --lora` takes. Twenty pictures are
made; their latents and text states are cached by a first run that is not counted. Memory is VmHWM of the process that
trains, the pages of mapped weights among them. Above --most-gib the bench fails.

With --peers the usual loop of diffusers and peft (lora_diffusers.py) trains in turns with the program: the same rank,
checkpointing, latents and text states, one picture a step. Both are loaded once, and take --steps steps in each of
--rounds rounds, the program first in every other round; who has no turn stands still (SIGSTOP). As in bench/peers, every
turn stands between two probes of the machine's peak, turns whose probes differ by more than 15 % are dropped, and turns of
one round at the same peak make a pair. Printed is the ratio of samples a second, the median over pairs with the interval
that holds it with 95 % confidence; every turn is a line of --results (default: a file of bench/results for this
processor). It needs a folder in diffusers' layout (`bench/peers/weights.py sd15 FOLDER`), diffusers, peft, and
bench_peers_probe beside the program (ninja bench_peers_probe).
"""
import argparse
import ctypes
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE / "peers"))
import records  # noqa: E402
import samples  # noqa: E402
from child import Child, Probe  # noqa: E402

PICTURES = 20
WARM_UP = 2  # steps
THEIRS = "diffusers + peft"
FOREVER = 1_000_000  # steps
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def write_pictures(folder, side, count=PICTURES):
    """Smooth pictures with a caption each."""
    from PIL import Image
    numbers = random.Random(1)
    folder.mkdir()
    for i in range(count):
        corners = Image.new("RGB", (4, 4))
        corners.putdata([tuple(numbers.randrange(256) for _ in range(3)) for _ in range(16)])
        corners.resize((side, side), Image.BICUBIC).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"a picture of thing number {i}")


def command_of(args, folder, steps, out):
    """The training of a LoRA on the pictures in `folder`, out of the cache there."""
    command = [args.program, "train", "--lora", "--model", args.model, "--data", folder / "pictures", "--out", out,
               "--steps", steps, "--rank", args.rank, "--threads", args.threads, "--fresh", "-q"]
    checkpointing = "false" if getattr(args, "no_checkpointing", False) else "true"
    for item in (f"resolution={args.resolution}", "enable_bucket=false", "log_every_n_steps=1", "save_every_minutes=600",
                 "sample_every_n_steps=0", "train_batch_size=1", f"gradient_checkpointing={checkpointing}",
                 f'cache_dir="{folder / "cache"}"', *([f"mixed_precision={args.precision}"] if args.precision else [])):
        command += ["--set", item]
    return [str(word) for word in command]


def seconds_at_steps(out):
    """Seconds of the run at the end of each step so far; out: the LoRA's file, beside whose folder the metrics are."""
    found = sorted(out.with_suffix("").rglob("metrics.jsonl"))
    lines = found[0].read_text().split("\n")[:-1] if found else []  # what is behind the last line's end is being written
    return [json.loads(line)["seconds"] for line in lines]


def ours(args, folder, steps, tag):
    """Seconds a step behind the warm-up, and GiB at most."""
    out = folder / f"{tag}.safetensors"
    process = subprocess.Popen(command_of(args, folder, steps, out), stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, records.high_water_bytes(process.pid))
        except (OSError, StopIteration):  # it has just ended
            pass
        time.sleep(0.1)
    if process.returncode != 0:
        sys.exit("bench/lora.py: the training failed")
    at = seconds_at_steps(out)
    seconds = [b - a for a, b in zip(at, at[1:])]
    return statistics.median(seconds[WARM_UP - 1:] or seconds or [0.0]), peak / 2**30


class Ours:
    """The program's training, which stands still but for its turns, and ends with this bench however that ends."""

    def __init__(self, args, folder, cpus):
        libc = ctypes.CDLL(None)

        def begin():
            os.sched_setaffinity(0, cpus)
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        self.out = folder / "ours.safetensors"
        self.process = subprocess.Popen(command_of(args, folder, FOREVER, self.out), stdout=subprocess.DEVNULL,
                                        preexec_fn=begin)
        self.wait_for_steps(WARM_UP)
        self.process.send_signal(signal.SIGSTOP)

    def wait_for_steps(self, count):
        while len(found := seconds_at_steps(self.out)) < count:
            if self.process.poll() is not None:
                sys.exit(f"bench/lora.py: the training ended with {self.process.returncode}")
            time.sleep(0.02)
        return found

    def turn(self, steps):
        """Seconds of each step. The one in which it stood still is not counted."""
        done = len(seconds_at_steps(self.out))
        self.process.send_signal(signal.SIGCONT)
        at = self.wait_for_steps(done + 1 + steps)[done:done + 1 + steps]
        self.process.send_signal(signal.SIGSTOP)
        return [b - a for a, b in zip(at, at[1:])]

    def peak_bytes(self):
        return records.high_water_bytes(self.process.pid)

    def end(self):
        self.process.kill()
        self.process.wait()


class Theirs:
    def __init__(self, args, folder, cpus):
        command = [sys.executable, HERE / "lora_diffusers.py", args.model, folder / "cache", "--rank", args.rank, "--threads",
                   args.threads, "--precision", args.precision, *(["--no-checkpointing"] if args.no_checkpointing else [])]
        self.child = Child([str(word) for word in command], cpus, args.threads, folder / "theirs.log")
        self.peak_bytes, self.end = self.child.peak_bytes, self.child.end
        self.child.receive()
        self.turn(WARM_UP)

    def turn(self, steps):
        return self.child.ask(do="steps", count=steps)["seconds"]


def versions():
    from importlib.metadata import version
    return {samples.OURS: records.program_version(),
            THEIRS: " ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "peft"))}


def alternate(args, trainers, probe):
    """Yields a record of every turn."""
    begun, version = records.now(), versions()
    row = f"lora/{pathlib.Path(args.model).name}/{args.resolution}/r{args.rank}"
    row += f"/{args.precision}" if args.precision != "bf16" else ""
    row += "/no-checkpointing" if args.no_checkpointing else ""
    before = probe()
    for number in range(args.rounds):
        for engine in list(trainers) if number % 2 == 0 else reversed(trainers):
            seconds = trainers[engine].turn(args.steps)
            after = probe()
            yield {"kind": "sample", "run": begun, "round": number, "row": row, "engine": engine, "version": version[engine],
                   "machine": records.processor()["model name"], "threads": args.threads, "gflop": 0.0,
                   "seconds": statistics.median(seconds), "steps": seconds, "before": before, "after": after,
                   "peak_bytes": trainers[engine].peak_bytes()}
            before = after


def print_ratio(taken):
    """taken: the records of one run."""
    for summary in samples.summaries_of(taken):
        peak = max(r["peak_bytes"] for r in taken if r["engine"] == summary.engine)
        rate = f"{1 / summary.seconds:.4f} samples/s" if summary.seconds else "no turn was kept"
        print(f"{summary.engine:18} {rate}   {peak / 2**30:5.2f} GiB at most   {summary.kept} of {summary.measured} turns kept")
        if summary.ratio:
            print(f"ratio of samples/s, ours to theirs: {summary.ratio.median:.2f} [{summary.ratio.low:.2f}, "
                  f"{summary.ratio.high:.2f}], {summary.ratio.pairs} pairs")


def beside_peers(args, folder):
    """Returns the program's most memory in GiB."""
    program = pathlib.Path(args.program).resolve().parent / "bench/bench_peers_probe"
    if not program.exists():
        sys.exit(f"bench/lora.py: expected {program}. Hint: ninja bench_peers_probe")
    cpus = set(sorted(os.sched_getaffinity(0))[:args.threads])
    path, taken, trainers = args.results or records.results_path("lora", "model name", "cpu family", "model"), [], {}
    probe = Probe(str(program), cpus, args.threads, folder / "probe.log")
    try:
        for engine, kind in ((samples.OURS, Ours), (THEIRS, Theirs)):
            trainers[engine] = kind(args, folder, cpus)
        for record in alternate(args, trainers, probe):
            records.append(path, record)
            taken.append(record)
            kept = "" if samples.samples_of(record)[0].kept() else "  dropped"
            print(f"round {record['round'] + 1}: {record['engine']:18} {record['seconds']:7.2f} s/step{kept}", flush=True)
    finally:
        for trainer in trainers.values():
            trainer.end()
        probe.end()
    print_ratio(taken)
    return max(r["peak_bytes"] for r in taken if r["engine"] == samples.OURS) / 2**30


def alone(args, folder):
    seconds, peak = ours(args, folder, args.steps, "run")
    print(f"pangu-draw {seconds:7.2f} s/step   {peak:5.2f} GiB at most", flush=True)
    return peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, help="default: 6, and 2 a turn with --peers")
    parser.add_argument("--rounds", type=int, default=9, help="with --peers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("bf16", "no"), help="default: bf16 where the processor multiplies it")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--no-checkpointing", action="store_true", help="of activations, of both")
    parser.add_argument("--results", type=pathlib.Path, help="with --peers")
    parser.add_argument("--most-gib", type=float, default=0.0)
    args = parser.parse_args()
    args.steps = args.steps or (2 if args.peers else 6)
    args.precision = args.precision or ("bf16" if records.multiplies_bf16(records.processor_flags()) else "no")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_pictures(folder / "pictures", args.resolution)
        ours(args, folder, 1, "first")
        peak = (beside_peers if args.peers else alone)(args, folder)
    if args.most_gib and peak > args.most_gib:
        sys.exit(f"bench/lora.py: expected at most {args.most_gib} GiB, found {peak:.2f} GiB")


if __name__ == "__main__":
    main()
