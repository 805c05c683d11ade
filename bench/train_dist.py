#!/usr/bin/env python3
"""What sharing a training among processes costs: one denoiser on one batch by 1, 2 and 4 processes on the same cores, beside
PyTorch's DistributedDataParallel and FSDP2 (train_dist_torch.py), and the bytes that a step sends beside the formula.

    bench/train_dist.py PROGRAM [--rounds 3] [--steps 40] [--batch 16] [--only pangu-draw DDP] [--page]
    bench/train_dist.py --page

Pictures are made, and their latents and captions cached by a first run that is not counted; the network is that of
models/mini, from random weights. Everybody trains it in turns, anew in every round. `--threads` is the number of cores that all
processes of a run have together, one thread each at least. Times are medians of the steps behind the first quarter.
Overheads and ratios are taken within a round. Sent bytes are counted three times: by the formula of docs/training.md, as the
program counts what it asks for, and by the loopback device of a network namespace in which the run is alone (with all
headers and acknowledgements; where namespaces are not permitted there is none).

Every run is a line of bench/results/train-dist-PROCESSOR.jsonl when it is over. A bench that was stopped is started again:
its rounds are added to those that are there. --page writes the last setting's into docs/training.md. diffusers must be in
the Python that runs this (.venv/bin/python has it once `./pangu-draw test` has run).
"""
import argparse
import collections
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
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(HERE / "peers"), str(ROOT / "tests/e2e")]
import lora  # noqa: E402
import network_hosts  # noqa: E402
import records  # noqa: E402
from ports import free_port  # noqa: E402

OURS = "pangu-draw"
Kind = collections.namedtuple("Kind", "trainer processes zero_stage")
KINDS = [Kind(OURS, 1, 0), Kind("PyTorch", 1, 0), Kind(OURS, 2, 0), Kind("DDP", 2, 0), Kind(OURS, 2, 2), Kind("FSDP2", 2, 2),
         Kind(OURS, 4, 0), Kind("DDP", 4, 0), Kind(OURS, 4, 2), Kind("FSDP2", 4, 2)]
ALONE = {OURS: OURS, "DDP": "PyTorch", "FSDP2": "PyTorch"}  # who trains the same by one process
WARM = 0.25
LOOK_S = 0.05
OWN_NETWORK = ["unshare", *network_hosts.AS_ROOT, "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
SETTING = ("network", "batch", "resolution", "precision", "threads", "machine", "program", "peers")
HEAD = ("trained by", "processes", "zero_stage", "a step", "against one process", "theirs / ours", "sent a step: formula",
        "asked for", "on the wire")


def fastest_precision():
    return "bf16" if "avx512_bf16" in records.processor().get("flags", "").split() else "no"


def keys_of(options, folder):
    """A training's configuration."""
    return {"task": "denoiser", "train_data_dir": [str(folder / "pictures")], "cache_dir": str(folder / "cache"),
            "network_config": str(options.network), "model_dir": str(ROOT / "models/mini"), "resolution": options.resolution,
            "train_batch_size": options.batch, "mixed_precision": options.precision, "learning_rate": 1e-4,
            "lr_scheduler": "constant", "loss_weighting": "none", "log_every_n_steps": 1, "sample_every_n_steps": 0,
            "save_every_minutes": 600, "caption_dropout_rate": 0.0}


def write_case(options, folder):
    """Pictures, CONFIG.toml and CONFIG.json in a folder, and the cache by a run of one step."""
    lora.write_pictures(folder / "pictures", options.resolution)
    keys = keys_of(options, folder)
    (folder / "config.json").write_text(json.dumps(keys))
    (folder / "config.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    subprocess.run(ours(options, folder, Kind(OURS, 1, 0), folder / "first", steps=1), check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "first/accounting.json").read_text())["parameters"]


def threads_of(options, processes):
    return max(1, options.threads // processes)


def ours(options, folder, kind, out, steps=None):
    threads = threads_of(options, kind.processes)
    sets = [f'output_dir="{out}"', f"zero_stage={kind.zero_stage}", f"replicas={threads}",
            f"max_train_steps={steps or options.steps}"]
    return [str(word) for word in (
        options.program, "train", folder / "config.toml", "--fresh", "--quiet", "--threads", threads,
        *(word for one in sets for word in ("--set", one)), *(["--nproc", kind.processes] if kind.processes > 1 else []))]


def theirs(options, folder, kind, out):
    return [str(word) for word in (
        sys.executable, HERE / "train_dist_torch.py", kind.trainer, folder / "config.json", out / "metrics.jsonl",
        "--processes", kind.processes, "--threads", threads_of(options, kind.processes), "--steps", options.steps, "--precision",
        options.precision, "--port", free_port())]


def lines_of(metrics):
    """What is behind the last line's end is being written."""
    return metrics.read_text().split("\n")[:-1] if metrics.exists() else []


def bytes_of_step(samples):
    """samples: steps that were done and bytes that were sent by then. Only the first look at a step counts: later ones are
    in the midst of the next."""
    firsts = {done: sent for done, sent in reversed(samples)}
    if len(firsts) < 2:
        return None
    (begin, before), (end, sent) = min(firsts.items()), max(firsts.items())
    return (sent - before) / (end - begin)


def watched(command, metrics, steps, log, in_own_network):
    """Runs a training. Returns the bytes that all its processes sent in a step, headers included, or None."""
    samples = []
    with open(log, "w", encoding="utf-8") as words:
        process = subprocess.Popen([*(OWN_NETWORK if in_own_network else []), *command], stdout=words, stderr=words)
    try:
        while process.poll() is None:
            time.sleep(LOOK_S)
            done = len(lines_of(metrics))
            # What is sent behind the last step is the checkpoint's.
            if in_own_network and WARM * steps <= done < steps:
                with contextlib.suppress(OSError):  # it has just ended
                    samples.append((done, network_hosts.device_bytes(f"/proc/{process.pid}/net/dev", "lo")["sent"]))
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return bytes_of_step(samples)


def formula_bytes(parameters, kind, precision):
    """That a process sends in a step, as train/device_cost.h has it."""
    share = (kind.processes - 1) / kind.processes
    gradients = 4 * parameters * share
    weights = (2 if precision == "bf16" else 4) * parameters * share
    return {0: 2 * gradients, 1: 2 * gradients + weights, 2: gradients + weights}[kind.zero_stage]


def measured(options, folder, kind):
    """Seconds of a step and bytes of one process."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        out = pathlib.Path(out)
        metrics = out / "metrics.jsonl"
        command = (ours if kind.trainer == OURS else theirs)(options, folder, kind, out)
        sent = watched(command, metrics, options.steps, folder / "words.log", options.in_own_network)
        lines = [json.loads(line) for line in lines_of(metrics)]
    warm = lines[int(len(lines) * WARM):]
    if len(lines) != options.steps or len(warm) < 2:
        sys.exit(f"{kind.trainer}: expected {options.steps} steps, found {len(lines)}")
    seconds = [b["seconds"] - a["seconds"] for a, b in zip(warm, warm[1:])]
    return {"step_seconds": statistics.median(seconds), "asked_bytes": warm[-1].get("bytes_sent_a_step"),
            "wire_bytes": None if sent is None else sent / kind.processes}


def setting_of(options):
    from importlib.metadata import version
    peers = " ".join(f"{name} {version(name)}" for name in ("torch", "diffusers")) if options.has_peers else ""
    return {"network": str(options.network.resolve().relative_to(ROOT)), "batch": options.batch,
            "resolution": options.resolution, "precision": options.precision, "threads": options.threads,
            "machine": records.processor()["model name"], "program": records.program_version(), "peers": peers}


def told(record):
    megabytes = "".join(f", {name} {record[key] / 1e6:.2f} MB" for name, key in (
        ("formula", "formula_bytes"), ("asked for", "asked_bytes"), ("on the wire", "wire_bytes")) if record[key] is not None)
    return (f"round {record['round'] + 1}: {record['trainer']:10} {record['processes']} processes, zero_stage "
            f"{record['zero_stage']}: {record['step_seconds'] * 1000:8.1f} ms a step{megabytes}")


def rounds_of(found):
    """{(run, round): {Kind: record}} of the last record's setting."""
    rounds = collections.defaultdict(dict)
    for record in found:
        if all(record[key] == found[-1][key] for key in SETTING):
            rounds[record["run"], record["round"]][Kind(*(record[field] for field in Kind._fields))] = record
    return rounds


def median_ratio(rounds, over, under):
    """Of step times within a round; None without a round that has both."""
    both = [kinds[over]["step_seconds"] / kinds[under]["step_seconds"] for kinds in rounds.values()
            if over in kinds and under in kinds]
    return statistics.median(both) if both else None


def cells_of(rounds, kind):
    found = [kinds[kind] for kinds in rounds.values() if kind in kinds]
    head = [kind.trainer, str(kind.processes), str(kind.zero_stage) if kind.processes > 1 else "-"]
    if not found:
        return [*head, *["-"] * (len(HEAD) - len(head) - 1), "not yet"]
    overhead = median_ratio(rounds, kind, Kind(ALONE.get(kind.trainer, kind.trainer), 1, 0)) if kind.processes > 1 else None
    ratio = median_ratio(rounds, kind, Kind(OURS, *kind[1:])) if kind.trainer != OURS else None

    def megabytes(key):
        values = [record[key] for record in found if record[key] is not None]
        return f"{statistics.median(values) / 1e6:.2f} MB" if values and kind.processes > 1 else "-"

    return [*head, f"{statistics.median(record['step_seconds'] for record in found) * 1000:.0f} ms",
            "-" if overhead is None else f"{100 * (overhead - 1):+.1f} %", "-" if ratio is None else f"{ratio:.2f}",
            megabytes("formula_bytes"), megabytes("asked_bytes"), megabytes("wire_bytes")]


def page_section(found):
    rounds = rounds_of(found)
    table = records.table(HEAD, [cells_of(rounds, kind) for kind in KINDS])
    if not found:
        return table
    last = found[-1]
    arithmetic = {"no": "f32", "bf16": "bf16"}[last["precision"]]
    taken = [record for kinds in rounds.values() for record in kinds.values()]
    busiest = max(record["busy_before"] for record in taken)
    busy = f" Before it {busiest:.1f} threads worked." if busiest >= 0.5 else ""
    return (f"{table}\n{last['network']} of {last['parameters'] / 1e6:.1f} M parameters in {arithmetic}, batch {last['batch']} at "
            f"{last['resolution']} px, {last['threads']} cores of {last['machine']}, medians of {len(rounds)} rounds of "
            f"{last['steps']} steps, {last['begun'][:10]}, program {last['program']}, {last['peers'] or 'no peers'}.{busy}\n")


def take_rounds(options):
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:options.threads]))
    path = options.results or records.results_path("train-dist", "model name", "cpu family", "model")
    setting, run = setting_of(options), records.now()
    kinds = [kind for kind in KINDS if kind.trainer in options.only and kind.processes in options.processes]
    busy, taken = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        parameters = write_case(options, folder)
        for number in range(options.rounds):
            for kind in kinds if number % 2 == 0 else reversed(kinds):
                record = {**setting, **kind._asdict(), "run": run, "round": number, "begun": records.now(),
                          "busy_before": busy, "steps": options.steps,
                          "parameters": parameters, "formula_bytes": formula_bytes(parameters, kind, options.precision),
                          **measured(options, folder, kind)}
                records.append(path, record)
                taken.append(record)
                print(told(record), flush=True)
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path, nargs="?")
    parser.add_argument("--network", type=pathlib.Path, default=ROOT / "models/mini/unet/config.json")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--precision", choices=("bf16", "no"), default=fastest_precision(), help="default: the faster one here")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--only", nargs="+", choices=sorted({kind.trainer for kind in KINDS}),
                        default=[OURS, "PyTorch", "DDP", "FSDP2"])
    parser.add_argument("--results", type=pathlib.Path, help="default: a file of bench/results for this processor")
    parser.add_argument("--page", action="store_true", help="write the records that there are into docs/training.md")
    options = parser.parse_args()
    options.has_peers = any(trainer != OURS for trainer in options.only)
    if options.program is None and not options.page:
        parser.error("expected PROGRAM, or --page")
    if options.program is not None:
        if options.batch % max(options.processes):
            parser.error(f"--batch: expected a multiple of {max(options.processes)}, found {options.batch}")
        options.in_own_network = not network_hosts.why_not()
        taken = take_rounds(options)
        print(page_section(taken))
    if options.page:
        records.write_section("docs/training.md", "bench/train_dist", page_section(records.read("train-dist")))


if __name__ == "__main__":
    main()
