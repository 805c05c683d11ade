"""Measures rows: engines in alternation, every sample between two probes, every finished sample appended to a file."""
import contextlib
import datetime
import json
import pathlib
import time

import cost
from child import Child, EngineFailed, Probe
from engines import ENGINES, ROOT, command_of, version_of
from models import MODELS, load_request
from rows import SLOW, engines_of, rounds_of
from samples import OURS, moment_of, pairs_of, samples_of
from weights import weights_of

GIB = 1 << 30
QUICK_RUN_STEPS = 3  # of a whole run with --quick: enough for load, first step and peak memory
ATTEMPTS = 2  # rounds that are measured at most, for each that shall be kept


class Results:
    """The lines of earlier runs and of this one; a line is in the file as soon as it is here."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        self.records = [json.loads(line) for line in lines]

    def append(self, **record):
        self.records.append(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

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
        self.deadline = time.monotonic() + settings.minutes * 60 if settings.minutes else None
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
        return ROOT / "models/mini" if (model, engine) == ("mini", OURS) else weights_of(model, self.settings.cache)

    def start(self, engine):
        environment = {"TORCHINDUCTOR_CACHE_DIR": str(self.settings.cache / "inductor")}
        child = Child(command_of(engine, self.settings.programs), self.cpus, self.settings.threads,
                      self.log_folder / f"{engine}.log", environment)
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
        # Measured: the networks of each peer take up to 1.5 times their weights, and buffers.
        each = 1.5 * sum(path.stat().st_size for path in files) + 1.5 * GIB
        with open("/proc/meminfo", encoding="utf-8") as info:
            free = next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))
        peers = [engine for engine in engines if engine != OURS]
        size = max(1, int(0.9 * free / each) - 1)
        return [[OURS, *peers[at:at + size]] for at in range(0, len(peers), size)] or [[OURS]]


def shown(peak):
    return f"{peak['conv']:5.0f} / {peak['registers']:5.0f}"


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
    gflop = bench.gflop(row.model, row.what, row.batch)
    for engine in [e for e in engines if e not in SLOW]:
        attempt(bench, row, children, engine, lambda: children[engine].ask(do=row.what))
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
            told = attempt(bench, row, children, engine, lambda: children[engine].ask(do=row.what))
            after = bench.probe()
            if told:
                record = {"kind": "sample", "run": bench.run, "round": moment, "row": row.name, "engine": engine,
                          "version": bench.version(engine), "seconds": told["seconds"], "gflop": gflop,
                          "before": before, "after": after}
                bench.results.append(**record)
                tell_sample(samples_of(record)[0])
            before = after


def attempt(bench, row, children, engine, call):
    """Calls; an engine that fails is left out from then on."""
    try:
        return call()
    except EngineFailed as failure:
        bench.failed(row.name, engine, failure)
        children.pop(engine).end()
        return None


def tell_sample(sample):
    share = f"{100 * sample.share():5.1f} % of the peak" if sample.gflop and not sample.broken else ""
    print(f"{sample.row:20} {sample.engine:14} {sample.seconds:9.4f} s  {share}  conv / registers before "
          f"{shown(sample.peaks[0])}, after {shown(sample.peaks[-1])} GFLOP/s{'' if sample.kept() else '  dropped'}",
          flush=True)


def read_once(folder):
    """Brings the files into the page cache: what is measured is loading, not the disk."""
    for path in folder.rglob("*.safetensors"):
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass


def measure_runs(bench, row, engines):
    quick, facts = bench.settings.quick, MODELS[row.model]
    steps = min(facts.steps, QUICK_RUN_STEPS) if quick else facts.steps
    # Few steps of the smallest model are quicker than to explain why they are fewer.
    steps = facts.steps if row.model == "mini" else steps

    def done(engine):
        found = bench.results.of(row.name, engine, bench.version(engine), "run")
        good = [r for r in found if len(r["parts"]) >= steps + 2 and not samples_of(r)[-1].broken]
        return len({moment_of(r) for r in good})

    for _ in range((row.quick if quick else row.rounds) * ATTEMPTS):
        moment = bench.next_round()
        for engine in engines:
            if bench.is_late() or done(engine) >= rounds_of(row, engine, quick):
                continue
            try:
                record = run_once(bench, row, engine, steps, moment)
            except EngineFailed as failure:
                bench.failed(row.name, engine, failure)
                engines = [e for e in engines if e != engine]
                continue
            bench.results.append(**record)
            for sample in samples_of(record):
                tell_sample(sample)
            print(f"{row.name:20} {engine:14} {record['peak_bytes'] / GIB:9.2f} GiB at most", flush=True)


def run_once(bench, row, engine, steps, moment):
    """Runs one process from its start to a picture, with a probe between any two parts of it."""
    read_once(bench.folder(row.model, engine))
    facts, before = MODELS[row.model], bench.probe()
    started = time.monotonic()
    with bench.start(engine) as child:
        start = {"seconds": time.monotonic() - started, "before": before}
        before = bench.probe()
        load = {"before": before, **bench.load(child, row.model, engine, row.batch, ("denoiser", "decoder", "text"),
                                               {"planned_steps": steps})}
        before = load["after"] = bench.probe()
        parts = []
        child.send(do="picture", steps=steps)
        while "part" in (told := child.receive()):
            after = bench.probe()
            parts.append({**told, "before": before, "after": after})
            before = after
            child.send(do="go")
        gflop = steps * bench.gflop(row.model, "step", row.batch) + bench.gflop(row.model, "decode", row.batch)
        return {"kind": "run", "run": bench.run, "round": moment, "row": row.name, "engine": engine,
                "version": bench.version(engine), "whole_steps": facts.steps, "gflop": gflop, "start": start,
                "load": load, "parts": parts, "peak_bytes": child.peak_bytes()}


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
