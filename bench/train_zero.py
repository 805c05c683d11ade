#!/usr/bin/env python3
"""All weights of Stable Diffusion 1.5's UNet (0.86 B) trained by two processes of one machine: the memory of each process and
the bytes that it sends in a step, by zero_stage, beside the formulas that plan-training computes with.

    bench/train_zero.py PROGRAM FOLDER [--stages 2 1] [--precision bf16] [--steps 3] [--resolution 128] [--page]
    bench/train_zero.py --page

FOLDER keeps random weights (sd15.safetensors, 2 GB; bench/full_size_weights.py makes them with diffusers) and for a while a
checkpoint (10 GB) and the trained model. `pangu-draw train --finetune` trains two pictures a step with AdamW, no average, blocks
computed twice. Memory is VmHWM of each process, mapped files as far as they were touched. A stage whose formula says more
than there is free memory is not begun, and a training that leaves less than 1 GiB free is ended.

Every run is a line of bench/results/train-zero-PROCESSOR.jsonl; --page writes the last of each row into docs/training.md.
--tiny tries the bench itself by a small network, and keeps no record.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "peers")]
import lora  # noqa: E402
import records  # noqa: E402
import train_dist  # noqa: E402
from train_dist import Kind  # noqa: E402

PROCESSES = 2
PARAMETERS = 859_520_964  # of Stable Diffusion 1.5's UNet
MOMENTS = 8  # bytes of AdamW's two
LOOK_S = 0.1
LEAST_FREE_BYTES = 1 << 30
STAGES = (0, 1, 2)
HEAD = ("zero_stage", "held by a process: formula", "most memory of each in steps: its own, and with pages of files",
        "with the checkpoint", "sent a step: formula", "asked for", "measured")


def held_bytes(parameters, stage, precision):
    """But for activations: train/device_cost.h."""
    weight = 2 if precision == "bf16" else 4
    optimizer = (4 - weight) + MOMENTS
    return parameters * (weight + 4 / (PROCESSES if stage == 2 else 1) + optimizer / (PROCESSES if stage else 1))


def available_bytes():
    with open("/proc/meminfo", encoding="utf-8") as info:
        return next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable:"))


def children_of(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def look(peaks, pid):
    """Notes the memory of every process: its greatest, and without pages of files."""
    for child in children_of(pid):
        try:
            peaks[child] = [max(pair) for pair in zip(peaks.get(child, (0, 0)), (
                records.high_water_bytes(child), records.memory_of(child, "RssAnon")))]
        except (OSError, StopIteration):  # it has just ended
            pass


def parameters_of(weights):
    from safetensors import safe_open
    with safe_open(weights, "np") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())


def first_of_those_without_memory():
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")


def command_of(options, model, folder, stage):
    sets = ["optimizer=adamw", "use_ema=false", "gradient_checkpointing=true", f"mixed_precision={options.precision}",
            f"resolution={options.resolution}", "enable_bucket=false", f"train_batch_size={PROCESSES}", "replicas=1",
            "log_every_n_steps=1", "sample_every_n_steps=0", "save_every_minutes=600", f"zero_stage={stage}"]
    return [str(word) for word in (
        options.program, "train", "--finetune", model, "--data", folder / "pictures", "--out", folder / "out", "--steps",
        options.steps, "--threads", 1, "--nproc", PROCESSES, "--fresh", "-q", *(word for one in sets for word in ("--set", one)))]


def measured(options, model, stage):
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = pathlib.Path(made)
        lora.write_pictures(folder / "pictures", options.resolution)
        process = subprocess.Popen(command_of(options, model, folder, stage), stdout=subprocess.DEVNULL,
                                   preexec_fn=first_of_those_without_memory)
        peaks, in_steps = {}, {}
        try:
            while process.poll() is None:
                look(peaks, process.pid)
                if available_bytes() < LEAST_FREE_BYTES:
                    sys.exit(f"bench/train_zero.py: zero_stage {stage}: ended, for no memory was left; its processes had "
                             f"{each([pair[1] for pair in peaks.values()])}")
                found = sorted(folder.glob("out/**/metrics.jsonl"))
                if found and len(train_dist.lines_of(found[0])) < options.steps:
                    in_steps = dict(peaks)
                time.sleep(LOOK_S)
        finally:
            # Not by a signal that asks for a checkpoint, which needs memory.
            for pid in (*children_of(process.pid), process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        if process.returncode != 0:
            sys.exit(f"bench/train_zero.py: the training ended with {process.returncode}")
        lines = [json.loads(line) for line in next(folder.glob("out/**/metrics.jsonl")).read_text().splitlines()]
        parameters = parameters_of(folder / "out/unet/diffusion_pytorch_model.safetensors")
    at = [line["seconds"] for line in lines]
    steps = in_steps or peaks
    return {"parameters": parameters, "asked_bytes": lines[-1]["bytes_sent_a_step"],
            "step_seconds": statistics.median([b - a for a, b in zip(at, at[1:])]),
            "steps_bytes": [steps[pid][0] for pid in sorted(steps)], "anonymous_bytes": [steps[pid][1] for pid in sorted(steps)],
            "peak_bytes": [peaks[pid][0] for pid in sorted(peaks)]}


def each(values):
    return " and ".join(f"{value / 2**30:.2f}" for value in values) + " GiB"


def told(record):
    return (f"zero_stage {record['zero_stage']}: {each(record['anonymous_bytes'])} of own memory, {each(record['steps_bytes'])} with "
            f"files, {each(record['peak_bytes'])} with the checkpoint; formula {record['held_bytes'] / 2**30:.2f} GiB; "
            f"{record['asked_bytes'] / 1e6:.1f} MB a step asked for, formula {record['formula_bytes'] / 1e6:.1f} MB; "
            f"{record['step_seconds']:.1f} s a step")


def cells_of(last, stage):
    record = last.get(stage)
    precision = record["precision"] if record else "bf16"
    held = held_bytes(PARAMETERS, stage, precision)
    sent = train_dist.formula_bytes(PARAMETERS, Kind("", PROCESSES, stage), precision)
    head = [str(stage), f"{held / 2**30:.2f} GiB"]
    if not record:
        return [*head, "-", "-", f"{sent / 1e6:.1f} MB", "-", "not yet"]
    return [*head, f"{each(record['anonymous_bytes'])}, {each(record['steps_bytes'])}", each(record["peak_bytes"]),
            f"{sent / 1e6:.1f} MB", f"{record['asked_bytes'] / 1e6:.1f} MB",
            f"{record['begun'][:10]}, {record['machine']}, {record['precision']}, {record['resolution']} px, {record['program']}"]


def page_section(found):
    last = {record["zero_stage"]: record for record in found}
    return records.table(HEAD, [cells_of(last, stage) for stage in STAGES])


def take_rows(options):
    import train_memory
    options.folder.mkdir(parents=True, exist_ok=True)
    model = train_memory.model_of(options.folder, "tiny" if options.tiny else "sd15")
    path = options.results or records.results_path("train-zero", "model name", "cpu family", "model")
    for stage in options.stages:
        needed = PROCESSES * held_bytes(PARAMETERS, stage, options.precision)
        if not options.tiny and needed > available_bytes():
            print(f"zero_stage {stage}: not begun, {PROCESSES} processes hold {needed / 2**30:.1f} GiB by the formula, "
                  f"{available_bytes() / 2**30:.1f} GiB are free", flush=True)
            continue
        record = {"zero_stage": stage, "processes": PROCESSES, "precision": options.precision, "resolution": options.resolution,
                  "begun": records.now(), "machine": records.processor()["model name"], "program": records.program_version(),
                  "busy_before": os.getloadavg()[0], "steps": options.steps, **measured(options, model, stage)}
        record["held_bytes"] = held_bytes(record["parameters"], stage, options.precision)
        record["formula_bytes"] = train_dist.formula_bytes(record["parameters"], Kind("", PROCESSES, stage), options.precision)
        print(told(record), flush=True)
        if not options.tiny:
            records.append(path, record)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program", type=pathlib.Path, nargs="?")
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--stages", type=int, nargs="+", choices=STAGES, default=[2, 1])
    parser.add_argument("--precision", choices=("bf16", "no"), default="bf16")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--results", type=pathlib.Path, help="default: a file of bench/results for this processor")
    parser.add_argument("--page", action="store_true", help="write the records that there are into docs/training.md")
    options = parser.parse_args()
    if options.folder is None and not options.page:
        parser.error("expected PROGRAM and FOLDER, or --page")
    if options.folder is not None:
        take_rows(options)
    if options.page:
        records.write_section("docs/training.md", "bench/train_zero", page_section(records.read("train-zero")))


if __name__ == "__main__":
    main()
