#!/usr/bin/env python3
"""Four hosts train together over a network of limited bandwidth: the time of a step beside what the formula of sent bytes
predicts, and what happens when one host is cut off.

    bench/train_hosts.py PROGRAM [--mbit 1000 300 100] [--stages 0 2] [--steps 10] [--page]
    bench/train_hosts.py --page

The hosts are network namespaces of this machine, each with one card of its own (tests/e2e/network_hosts.py), which tc's tbf
shapes in both directions; they share its cores, one thread each. They are given RANK, WORLD_SIZE, MASTER_ADDR and
GLOO_SOCKET_IFNAME alone, and train the network of models/mini from random weights (train_dist.py). At every bandwidth the
prediction is between the longer of the two, a step without a limit and the bytes on the wire, and their sum: gradients
travel while others are computed. Then the last host's card is unplugged in the midst of a training; the bench fails unless
all end within 30 s with a message, and unless the same command goes on from the last checkpoint when it is plugged in again.

Every run is a line of bench/results/train-hosts-PROCESSOR.jsonl; --page writes the last of each row into docs/training.md.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import records  # noqa: E402
import train_dist  # noqa: E402
from train_dist import ROOT, Kind, network_hosts  # noqa: E402

HOSTS = 4
LAST = HOSTS - 1
ALL_ENDED_S = 30
WARM_UP = 2  # steps
SAVE_EVERY = 3  # steps, of the training in which a host is cut off
ROWS = [(stage, mbit) for stage in (0, 2) for mbit in (None, 1000, 300, 100)]
HEAD = ("zero_stage", "bandwidth of a card", "sent a step: formula", "by a card", "time of these bytes", "predicted", "a step",
        "measured")


def command_of(options, folder, stage, out, steps, *more):
    sets = [f'output_dir="{out}"', f"zero_stage={stage}", "replicas=1", f"max_train_steps={steps}", *more]
    return [str(word) for word in (options.program, "train", folder / "config.toml", "--quiet", "--threads", 1,
                                   *(word for one in sets for word in ("--set", one)))]


@contextlib.contextmanager
def hosts_running(network, folder, command):
    """A process on every host; what they say is in HOST.log."""
    running = []
    try:
        for rank, name in enumerate(network.names):
            with open(folder / f"{name}.log", "w", encoding="utf-8") as log:
                running.append(subprocess.Popen(network.on(rank, command), stdout=log, stderr=log, env={
                    **os.environ, **network_hosts.rank_environment(network, rank)}))
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def words_of(network, folder):
    return [(folder / f"{name}.log").read_text(encoding="utf-8").strip() for name in network.names]


def end_all(network, folder, running):
    for process in running:
        if process.wait() != 0:
            sys.exit("bench/train_hosts.py: a host failed:\n" + "\n".join(words_of(network, folder)))


def train_shaped(options, network, folder, stage, mbit):
    """Seconds of a step, and the bytes of a step that a process asked for and a card sent, means of all."""
    if mbit:
        network.shape(mbit)
    else:
        network.unshape()
    with tempfile.TemporaryDirectory(dir=folder) as out:
        metrics = pathlib.Path(out) / "metrics.jsonl"
        samples = []
        with hosts_running(network, folder, command_of(options, folder, stage, out, options.steps)) as running:
            while running[0].poll() is None:
                time.sleep(train_dist.LOOK_S)
                done = len(train_dist.lines_of(metrics))
                if WARM_UP <= done < options.steps:  # behind the last step is the checkpoint
                    samples.append((done, sum(network.sent_bytes(rank) for rank in range(HOSTS)) / HOSTS))
            end_all(network, folder, running)
        lines = [json.loads(line) for line in train_dist.lines_of(metrics)][WARM_UP - 1:]
    seconds = [b["seconds"] - a["seconds"] for a, b in zip(lines, lines[1:])]
    return {"step_seconds": statistics.median(seconds), "asked_bytes": lines[-1]["bytes_sent_a_step"],
            "card_bytes": train_dist.bytes_of_step(samples)}


def cut_off(options, network, folder):
    """Throws unless all end in time and the training goes on."""
    network.shape(max(options.mbit))
    out = folder / "cut"
    steps = 3 * SAVE_EVERY + 1
    command = command_of(options, folder, 0, out, steps, f"save_every_n_steps={SAVE_EVERY}")
    with hosts_running(network, folder, command) as running:
        while len(train_dist.lines_of(out / "metrics.jsonl")) < SAVE_EVERY + 1:
            if running[0].poll() is not None:
                end_all(network, folder, running)
                sys.exit("bench/train_hosts.py: the training was over before a host was cut off")
            time.sleep(train_dist.LOOK_S)
        network.unplug(LAST)
        begun, ended = time.monotonic(), {}
        while len(ended) < HOSTS and time.monotonic() - begun < 2 * ALL_ENDED_S:
            ended |= {rank: time.monotonic() - begun for rank, process in enumerate(running)
                      if rank not in ended and process.poll() is not None}
            time.sleep(train_dist.LOOK_S)
        codes = [process.poll() for process in running]
    said = words_of(network, folder)
    network.plug(LAST)
    with hosts_running(network, folder, command) as running:
        end_all(network, folder, running)
    reached = [json.loads(line)["step"] for line in train_dist.lines_of(out / "metrics.jsonl")]
    seconds = [ended.get(rank) for rank in range(HOSTS)]
    record = {"ended_seconds": seconds, "codes": codes, "said": said, "saved_every": SAVE_EVERY, "steps": reached}
    if None in seconds or max(seconds) > ALL_ENDED_S or set(codes) != {3} or reached != list(range(1, steps + 1)):
        sys.exit(f"bench/train_hosts.py: not as it should be: {record}")
    return record


def row_key(record):
    return "cut" if record["row"] == "cut" else (record["zero_stage"], record["mbit"])


def told(record):
    if record["row"] == "cut":
        lines = [f"  host{rank + 1}, {seconds:.1f} s later: {said.splitlines()[-1]}" for rank, (seconds, said) in enumerate(
            zip(record["ended_seconds"], record["said"]))]
        return "\n".join([f"host{HOSTS} was cut off:", *lines, "the same command went on from the checkpoint to the end"])
    return (f"zero_stage {record['zero_stage']}, {record['mbit'] or 'no'} Mbit/s: {record['step_seconds']:7.2f} s a step; sent "
            f"{record['card_bytes'] / 1e6:.2f} MB by a card, {record['asked_bytes'] / 1e6:.2f} MB asked for, formula "
            f"{record['formula_bytes'] / 1e6:.2f} MB")


def cells_of(last, stage, mbit):
    record, free = last.get((stage, mbit)), last.get((stage, None))
    head = [str(stage), f"{mbit} Mbit/s" if mbit else "no limit"]
    if not record:
        return [*head, *["-"] * (len(HEAD) - len(head) - 1), "not yet"]
    travel = record["formula_bytes"] * 8 / (mbit * 1e6) if mbit else 0
    alone = free["step_seconds"] if free else None
    predicted = f"{max(alone, travel):.2f} to {alone + travel:.2f} s" if mbit and alone else "-"
    return [*head, f"{record['formula_bytes'] / 1e6:.2f} MB", f"{record['card_bytes'] / 1e6:.2f} MB",
            f"{travel:.2f} s" if mbit else "-", predicted, f"{record['step_seconds']:.2f} s",
            f"{record['begun'][:10]}, {record['machine']}, {record['program']}{records.busy_text(record)}"]


def page_section(found):
    last = {row_key(record): record for record in found}
    text = records.table(HEAD, [cells_of(last, *row) for row in ROWS])
    cut = last.get("cut")
    if not cut:
        return text
    return (f"{text}\nWhen host{HOSTS} was cut off, the hosts ended {min(cut['ended_seconds']):.0f} to "
            f"{max(cut['ended_seconds']):.0f} s later ({cut['begun'][:10]}), with exit code 3 and these words:\n\n```text\n"
            f"{cut['said'][0].splitlines()[-1]}\n{cut['said'][LAST].splitlines()[-1]}\n```\n")


def take_rows(options):
    path = options.results or records.results_path("train-hosts", "model name", "cpu family", "model")
    busy, taken = os.getloadavg()[0], []

    def keep(record):
        record = {"row": "step", "begun": records.now(), "machine": records.processor()["model name"],
                  "program": records.program_version(), "busy_before": busy, "batch": options.batch,
                  "resolution": options.resolution, "precision": options.precision, **record}
        records.append(path, record)
        taken.append(record)
        print(told(record), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        network = network_hosts.Network(HOSTS, folder)
        parameters = train_dist.write_case(options, folder)
        for stage in options.stages:
            formula = train_dist.formula_bytes(parameters, Kind("", HOSTS, stage), options.precision)
            for mbit in (None, *options.mbit):
                keep({"zero_stage": stage, "mbit": mbit, "parameters": parameters, "formula_bytes": formula,
                      "steps": options.steps, **train_shaped(options, network, folder, stage, mbit)})
        keep({"row": "cut", **cut_off(options, network, folder)})
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path, nargs="?")
    parser.add_argument("--mbit", type=int, nargs="+", default=[1000, 300, 100], help="bandwidths of a card")
    parser.add_argument("--stages", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--precision", choices=("bf16", "no"), default=train_dist.fastest_precision())
    parser.add_argument("--results", type=pathlib.Path, help="default: a file of bench/results for this processor")
    parser.add_argument("--page", action="store_true", help="write the records that there are into docs/training.md")
    options = parser.parse_args()
    options.threads, options.network = 1, ROOT / "models/mini/unet/config.json"
    if options.program is None and not options.page:
        parser.error("expected PROGRAM, or --page")
    if options.steps < WARM_UP + 2:
        parser.error(f"--steps: expected {WARM_UP + 2} or more, found {options.steps}")
    if options.program is not None:
        if not network_hosts.is_inside() and (why := network_hosts.why_not()):
            sys.exit(f"bench/train_hosts.py: {why}")
        network_hosts.enter()
        take_rows(options)
    if options.page:
        records.write_section("docs/training.md", "bench/train_hosts", page_section(records.read("train-hosts")))


if __name__ == "__main__":
    main()
