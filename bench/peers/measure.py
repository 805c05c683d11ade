"""Measures rows: engines in alternation, every sample between two probes, every finished sample appended to a file.

Rows of whole processes are runs.py's.
"""
import contextlib
import datetime
import json
import pathlib
import time

import cost
from child import Child, CutOff, EngineFailed, Probe
from engines import ENGINES, ROOT, command_of, version_of
from models import MODELS, load_request
from rows import ATTEMPTS, SLOW, engines_of, rounds_of
from runs import PackedWeights, measure_runs
from samples import OURS, pairs_of, samples_of
from table import GIB, sample_line
from weights import weights_of


class Results:
    """The lines of earlier runs and of this one; a line is in the file as soon as it is here."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        found = self.path.read_bytes() if self.path.exists() else b""
        self.whole_bytes = found.rfind(b"\n") + 1  # a bench that was killed may have left a part of a line behind them
        self.records = [json.loads(line) for line in found[:self.whole_bytes].decode().splitlines()]

    def append(self, **record):
        self.records.append(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.truncate(self.whole_bytes)
            self.whole_bytes += file.write(json.dumps(record).encode() + b"\n")

    def of(self, row, engine, version, kind="sample"):
        return [r for r in self.records if r["kind"] == kind and r["row"] == row and r["engine"] == engine
                and r["version"] == version]


class Bench:
    """What all measurements share. settings: the command line's (main.py)."""

    def __init__(self, settings, results, cpus):
        self.settings, self.results, self.cpus = settings, results, cpus
        self.run = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.log_folder = settings.cache / "logs"
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self.probe = Probe(str(settings.programs / "bench_peers_probe"), cpus, settings.threads,
                           self.log_folder / "probe.log", settings.probe_seconds)
        self.packed = PackedWeights(settings.cache / "packed")
        begun = time.monotonic()
        self.deadline = begun + settings.minutes * 60 if settings.minutes else None
        self.end = begun + settings.most_minutes * 60 if settings.most_minutes else None
        self.versions, self.rounds = {}, 0

    def next_round(self):
        """Returns a number that no other round of this run has."""
        self.rounds += 1
        return self.rounds

    def version(self, engine):
        if engine not in self.versions:
            self.versions[engine] = version_of(engine)
        return self.versions[engine]

    def is_late(self):
        return self.deadline is not None and time.monotonic() > self.deadline

    def folder(self, model, engine):
        is_own = model == "mini" and not ENGINES[engine].script
        return ROOT / "models/mini" if is_own else weights_of(model, self.settings.cache)

    def start(self, engine):
        environment = {"TORCHINDUCTOR_CACHE_DIR": str(self.settings.cache / "inductor")}
        child = Child(command_of(engine, self.settings.programs), self.cpus, self.settings.threads,
                      self.log_folder / f"{engine}.log", environment, until=self.end)
        try:
            child.receive()
        except EngineFailed:
            child.end()
            raise
        return child

    def load(self, child, model, engine, batch, parts, more):
        options = {**ENGINES[engine].options, "cache": str(self.settings.cache), **more}
        return child.ask(**load_request(model, self.folder(model, engine), batch, self.settings.threads, parts,
                                        ROOT / "models/tokenizers", options))

    def failed(self, row, engine, reason):
        print(f"{row:20} {engine:14} failed: {reason}", flush=True)
        if isinstance(reason, CutOff):
            return  # which says nothing of the engine
        self.results.append(kind="failure", run=self.run, row=row, engine=engine, version=self.version(engine),
                            reason=str(reason))

    def gflop(self, model, what, batch):
        folder = weights_of(model, self.settings.cache)
        facts, weights = MODELS[model], "diffusion_pytorch_model.safetensors"
        side = facts.size_px // facts.downscale
        if what == "step":
            return 2 * batch * cost.unet_gflop(cost.shapes_of_file(folder / "unet" / weights), side, side, facts.tokens)
        return batch * cost.decoder_gflop(cost.shapes_of_file(folder / "vae" / weights), facts.size_px, facts.size_px)

    def groups(self, model, engines):
        """Divides peers into groups that fit into the memory at once, each together with ours."""
        files = [path for path in weights_of(model, self.settings.cache).glob("*/*.safetensors")
                 if path.parent.name in ("unet", "vae")]
        weights = sum(path.stat().st_size for path in files)
        return groups_that_fit(engines, weights, 0.9 * free_bytes())


def free_bytes():
    with open("/proc/meminfo", encoding="utf-8") as info:
        return next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))


def bytes_of(engine, weights):
    """Measured: the networks of each peer take up to 1.5 times their weights, and buffers. weights: bytes in bf16."""
    return 1.5 * weights * (2 if ENGINES[engine].computes_in_f32() else 1) + 1.5 * GIB


def groups_that_fit(engines, weights, room):
    found, left = [], 0
    for engine in engines:
        if engine == OURS:
            continue
        left -= bytes_of(engine, weights)
        if left < 0 or not found:
            found.append([OURS])
            left = room - bytes_of(OURS, weights) - bytes_of(engine, weights)
        found[-1].append(engine)
    return found or [[OURS]]


def kept_pairs(bench, row, engine):
    """Counts the pairs of ours and an engine that are in the results and count; for ours, its kept samples."""
    def samples(name):
        found = bench.results.of(row, name, bench.version(name))
        return [sample for record in found for sample in samples_of(record)]

    ours = samples(OURS)
    return sum(s.kept() for s in ours) if engine == OURS else len(pairs_of(ours, samples(engine)))


def unfinished(bench, row, engines):
    quick = bench.settings.quick
    wanted = [e for e in engines if kept_pairs(bench, row.name, e) < rounds_of(row, e, quick)]
    return [OURS] + [e for e in wanted if e != OURS] if wanted else []


def measure_calls(bench, engines_of_rows):
    """Measures the rows `step` and `decode` of one model and batch by processes that stay loaded."""
    rows = list(engines_of_rows)
    todo = dict.fromkeys(e for row in rows for e in unfinished(bench, row, engines_of_rows[row]))
    if not todo:
        return
    model, batch = rows[0].model, rows[0].batch
    parts = [part for what, part in (("step", "denoiser"), ("decode", "decoder")) if what in {r.what for r in rows}]
    for group in bench.groups(model, list(todo)):
        if bench.is_late():
            return
        with contextlib.ExitStack() as open_children:
            children = {}
            for engine in group:
                if bench.is_late():
                    return
                own_rows = [row for row in rows if engine in engines_of_rows[row]]
                planned = {"planned_steps": rounds_of(own_rows[0], engine, bench.settings.quick)}
                child = None
                try:
                    child = bench.start(engine)
                    open_children.callback(child.end)
                    bench.load(child, model, engine, batch, parts, planned)
                    children[engine] = child
                except EngineFailed as failure:
                    bench.failed(own_rows[0].name, engine, failure)
            if OURS in children:
                for row in rows:
                    alternate(bench, row, {e: child for e, child in children.items() if e in engines_of_rows[row]})


def alternate(bench, row, children):
    engines = unfinished(bench, row, list(children))
    if not engines or bench.is_late():
        return
    gflop, calls = bench.gflop(row.model, row.what, row.batch), MODELS[row.model].calls
    for engine in engines:
        if engine not in SLOW and not bench.is_late():
            attempt(bench, row, children, engine, lambda: children[engine].ask(do=row.what, calls=calls))
    most = max(rounds_of(row, e, bench.settings.quick) for e in engines) * ATTEMPTS
    before = bench.probe()
    for number in range(most):
        engines = [e for e in unfinished(bench, row, engines) if e in children]
        # A slow one is not tried again, or it would take all the time.
        engines = [e for e in engines if e not in SLOW or number < rounds_of(row, e, bench.settings.quick)]
        if not engines or OURS not in engines or bench.is_late():
            return
        moment = bench.next_round()
        for engine in engines if number % 2 == 0 else reversed(engines):
            if bench.is_late():
                return
            told = attempt(bench, row, children, engine, lambda: children[engine].ask(do=row.what, calls=calls))
            after = bench.probe()
            if told:
                record = {"kind": "sample", "run": bench.run, "round": moment, "row": row.name, "engine": engine,
                          "version": bench.version(engine), "seconds": told["seconds"] / calls, "gflop": gflop,
                          "before": before, "after": after}
                bench.results.append(**record)
                print(sample_line(samples_of(record)[0]), flush=True)
            before = after


def attempt(bench, row, children, engine, call):
    """Calls; an engine that fails is left out from then on."""
    try:
        return call()
    except EngineFailed as failure:
        bench.failed(row.name, engine, failure)
        children.pop(engine).end()
        return None


def measure_profile(bench, row, engines):
    """Records the seconds by kind of operator; the profilers themselves cost some time, so it is no row of seconds."""
    for engine in engines:
        if bench.is_late() or bench.results.of(row.name, engine, bench.version(engine), "profile"):
            continue
        try:
            with bench.start(engine) as child:
                bench.load(child, row.model, engine, row.batch, ("denoiser", "decoder"), {"profile": True})
                for of in ("step", "decode"):
                    child.ask(do=of)
                    before = bench.probe()
                    told = child.ask(do="profile", of=of)
                    bench.results.append(kind="profile", run=bench.run, row=row.name, of=of, engine=engine,
                                         version=bench.version(engine), before=before, after=bench.probe(), **told)
        except EngineFailed as failure:
            bench.failed(row.name, engine, failure)


def measure(bench, rows):
    """Measures these rows, in their order; those of the same model and batch that can share processes do."""
    settings, done = bench.settings, set()

    def engines_for(row):
        return [e for e in engines_of(row, settings.engines, settings.quick) if is_installed(bench, e)]

    for row in rows:
        engines = engines_for(row)
        if row.what == "profile":
            measure_profile(bench, row, engines)
        elif row.what == "run":
            measure_runs(bench, row, engines)
        elif row.name not in done:
            alike = [r for r in rows if r.what in ("step", "decode") and (r.model, r.batch) == (row.model, row.batch)]
            done |= {r.name for r in alike}
            measure_calls(bench, {r: engines_for(r) for r in alike})
        if bench.is_late():
            print("the time is over; the same command goes on where this one ended", flush=True)
            return


def is_installed(bench, engine):
    try:
        return bool(bench.version(engine))
    except ModuleNotFoundError:
        return False
