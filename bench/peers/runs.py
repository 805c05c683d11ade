"""Rows of whole processes: from the start of a process to a picture, with a probe between any two parts of it, but for
models whose steps are of a few milliseconds (models.py: calls).

This program is measured without its folder of packed weights, with an empty one that it fills meanwhile, and with a full
one that it maps (engines/__init__.py: ours, ours-cold, ours-warm).
"""
import shutil
import time

from child import EngineFailed
from models import MODELS
from rows import ATTEMPTS, SLOW, rounds_of
from samples import OURS, pairs_of, samples_of
from table import GIB, sample_line

QUICK_RUN_STEPS = 3  # of a whole run with --quick: enough for load, first step and peak memory
FILLING_STEPS = 4    # of which PanGu-Draw 3's second expert serves the last


class PackedWeights:
    """The folders that this program keeps packed weights in while a row is measured, one a model. Nothing is left in
    the end; what a bench left that was killed goes first."""

    def __init__(self, folder):
        self.folder = folder
        self.clear()

    def clear(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def of(self, model):
        return self.folder / model

    def emptied(self, model):
        shutil.rmtree(self.of(model), ignore_errors=True)
        self.of(model).mkdir(parents=True)
        return self.of(model)

    def files(self, model):
        return sorted(self.of(model).glob("*.packed"))


def read_once(paths):
    """Brings the files into the page cache: what is measured is loading, not the disk."""
    for path in paths:
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass


def steps_of(row, settings):
    steps, quick = MODELS[row.model].steps, settings.quick
    if settings.steps:
        return min(steps, settings.steps)
    # Few steps of the smallest model are quicker than to explain why they are fewer.
    return min(steps, QUICK_RUN_STEPS) if quick and row.model != "mini" else steps


def finished_runs(results, row, engine, version, steps):
    """Returns the last sample of each run of that many steps or more: of a picture, where the steps make one."""
    found = [r for r in results.of(row.name, engine, version, "run") if len(r["parts"]) >= steps + 2]
    return [sample for sample in (samples_of(r)[-1] for r in found) if sample.kept()]


def unfinished_runs(bench, row, engines):
    """Returns the engines of which too few runs are in the results: of ours its own, of others those that have a run of
    ours beside them."""
    quick = bench.settings.quick

    def finished(engine):
        return finished_runs(bench.results, row, engine, bench.version(engine), steps_of(row, bench.settings))

    ours = finished(OURS)
    counts = {e: len({s.moment for s in ours}) if e == OURS else len(pairs_of(ours, finished(e))) for e in engines}
    return [engine for engine in engines if counts[engine] < rounds_of(row, engine, quick)]


def measure_runs(bench, row, engines):
    quick = bench.settings.quick
    try:
        for number in range((row.quick if quick else row.rounds) * ATTEMPTS):
            # A slow one is not tried again, or it would take all the time.
            todo = [e for e in unfinished_runs(bench, row, engines)
                    if e not in SLOW or number < rounds_of(row, e, quick)]
            if not todo or OURS not in engines:
                return
            moment = bench.next_round()
            for engine in dict.fromkeys([OURS, *todo]):
                if bench.is_late():
                    return
                try:
                    record = run_once(bench, row, engine, steps_of(row, bench.settings), moment)
                except EngineFailed as failure:
                    bench.failed(row.name, engine, failure)
                    engines = [e for e in engines if e != engine]
                    continue
                bench.results.append(**record)
                for sample in samples_of(record):
                    print(sample_line(sample), flush=True)
                print(f"{row.name:20} {engine:14} {record['peak_bytes'] / GIB:9.2f} GiB at most", flush=True)
    finally:
        bench.packed.clear()


def run_once(bench, row, engine, steps, moment):
    """Returns the record of one process."""
    packed, folder = packed_folder(bench, row, engine), bench.folder(row.model, engine)
    read_once([*folder.rglob("*.safetensors"), *bench.packed.files(row.model)])
    facts, before = MODELS[row.model], bench.probe()
    started = time.monotonic()
    with bench.start(engine) as child:
        start = {"seconds": time.monotonic() - started, "before": before}
        before = bench.probe()
        load = {"before": before, **bench.load(child, row.model, engine, row.batch, ("denoiser", "decoder", "text"),
                                               {"planned_steps": steps, **packed})}
        before = load["after"] = bench.probe()
        parts = between_probes(parts_of_picture(child, steps), bench.probe, before, is_one=facts.calls > 1)
        gflop = steps * bench.gflop(row.model, "step", row.batch) + bench.gflop(row.model, "decode", row.batch)
        record = {"kind": "run", "run": bench.run, "round": moment, "row": row.name, "engine": engine,
                  "version": bench.version(engine), "whole_steps": facts.steps, "gflop": gflop, "start": start,
                  "load": load, "parts": parts}
        if engine == "ours-cold":
            finish_packing(bench, row, child)
        return {**record, "peak_bytes": child.peak_bytes()}


def parts_of_picture(child, steps):
    """Draws, and yields what the engine tells after each part, which it then goes on from."""
    child.send(do="picture", steps=steps)
    while "part" in (told := child.receive()):
        yield told
        child.send(do="go")


def between_probes(parts, probe, before, is_one):
    """Takes the parts, each between two probes, or all of them between the same two. before: the first."""
    if is_one:
        told, after = list(parts), probe()
        return [{**part, "before": before, "after": after} for part in told]
    found = []
    for part in parts:
        after = probe()
        found.append({**part, "before": before, "after": after})
        before = after
    return found


def packed_folder(bench, row, engine):
    """Returns what an engine is told of packed weights: an empty folder, or one that a process has filled."""
    if engine == "ours-cold":
        return {"packed_weights": str(bench.packed.emptied(row.model))}
    if engine != "ours-warm":
        return {}
    folder = {"packed_weights": str(bench.packed.of(row.model))}
    if not bench.packed.files(row.model):
        bench.packed.emptied(row.model)
        with bench.start(engine) as child:
            bench.load(child, row.model, engine, row.batch, ("denoiser", "decoder", "text"), folder)
            for _ in parts_of_picture(child, FILLING_STEPS):
                pass
            finish_packing(bench, row, child)
    return folder


def finish_packing(bench, row, child):
    """Waits until the files of packed weights are whole."""
    child.ask(do="unload")
    if not bench.packed.files(row.model):
        raise EngineFailed("it wrote no packed weights: it has no kernels for this processor, or the disk no room")
