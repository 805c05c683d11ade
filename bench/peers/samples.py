"""The statistics of the bench: which samples count, which of them make pairs, and what the pairs say.

A machine's matrix unit changes its speed by several times within seconds. So every sample stands between two probes of
the peak; one whose probes differ is dropped, and two engines are compared only by samples of the same round whose
peaks agree. Everything is computed from the recorded lines; nothing is measured here.
"""
import statistics
from dataclasses import dataclass, field
from math import comb

DISAGREE = 0.15  # of the greater: probes that differ by more say that the machine changed meanwhile
PROBES = ("conv", "registers")
CONFIDENCE = 0.95
OURS = "ours"


@dataclass
class Sample:
    """One measured number of one engine. `peaks` are the probes around it, {"conv": GFLOP/s, "registers": GFLOP/s}."""
    row: str
    engine: str
    moment: tuple  # what was measured in one round has the same: run and round
    seconds: float
    peaks: list = field(default_factory=list)
    gflop: float = 0.0
    version: str = ""
    repaired: int = 0  # parts of it that were disturbed and stand for the median of the others
    broken: bool = False  # too many of its parts were

    def kept(self):
        return not self.broken and agree(self.peaks)

    def peak(self, probe="conv"):
        return statistics.fmean(peak[probe] for peak in self.peaks)

    def share(self):
        """Of the peak at that moment, as the reference convolution reaches it."""
        return self.gflop / self.seconds / self.peak()


def agree(peaks):
    """Whether all these probes are of one state of the machine."""
    for probe in PROBES:
        values = [peak[probe] for peak in peaks]
        if max(values) - min(values) > DISAGREE * max(values):
            return False
    return True


def whole_of(parts, row, record, gflop):
    """Makes one sample of parts [name, seconds, before, after], each between probes of its own.

    A disturbed step stands for the median of the others of its name; a disturbed part that has no other breaks it.
    """
    good = {}
    for name, seconds, before, after in parts:
        if agree([before, after]):
            good.setdefault(name, []).append((seconds, before, after))
    seconds, repaired, broken = 0.0, 0, False
    for name, own, before, after in parts:
        if agree([before, after]):
            seconds += own
        elif name in good and 2 * len(good[name]) >= sum(part[0] == name for part in parts):
            seconds += statistics.median(part[0] for part in good[name])
            repaired += 1
        else:
            seconds, broken = seconds + own, True
    around = [peak for found in good.values() for _, *peaks in found for peak in peaks]
    peak = {probe: statistics.fmean(p[probe] for p in around) if around else 0.0 for probe in PROBES}
    return Sample(row, record["engine"], moment_of(record), seconds, [peak], gflop, record["version"], repaired, broken)


def moment_of(record):
    return record["run"], record["round"]


def samples_of(record):
    """Returns the samples of a recorded line: one of a step or a decoding, several of a whole run."""
    if record["kind"] == "sample":
        return [Sample(record["row"], record["engine"], moment_of(record), record["seconds"],
                       [record["before"], record["after"]], record["gflop"], record["version"])]
    if record["kind"] != "run":
        return []
    stem, _, batch = record["row"].partition("/run/")
    parts = [("start", record["start"]["seconds"], record["start"]["before"], record["load"]["before"]),
             ("load", record["load"]["seconds"], record["load"]["before"], record["load"]["after"])]
    drawn = [(part["part"], part["seconds"], part["before"], part["after"]) for part in record["parts"]]
    steps = sum(name == "step" for name, *_ in drawn)
    found = [whole_of(parts[1:], f"{stem}/load/{batch}", record, 0.0)]
    first = next((i for i, part in enumerate(drawn) if part[0] == "step"), None)
    if first is not None:
        found.append(whole_of(parts + drawn[:first + 1], f"{stem}/first_step/{batch}", record, 0.0))
    # A picture of fewer steps than people draw is no picture to compare.
    if steps >= record["whole_steps"]:
        found.append(whole_of(drawn, f"{stem}/picture/{batch}", record, record["gflop"]))
        found.append(whole_of(parts + drawn, f"{stem}/cold_picture/{batch}", record, record["gflop"]))
    return found


def pairs_of(ours, theirs):
    """Returns (our sample, their sample) of the same moments, both kept and at the same peak.

    A moment that has several samples of an engine gives one pair, of the last.
    """
    latest = {sample.moment: sample for sample in ours if sample.kept()}
    found = {}
    for sample in theirs:
        own = latest.get(sample.moment)
        if own and sample.kept() and agree([{p: own.peak(p) for p in PROBES}, {p: sample.peak(p) for p in PROBES}]):
            found[sample.moment] = (own, sample)
    return list(found.values())


def median_interval(values):
    """Returns (low, high) that hold the median with 95 % confidence, by order statistics: no distribution is assumed.

    Of fewer than six values no such interval exists; it is then all that was seen, the least and the greatest.
    """
    ordered, n = sorted(values), len(values)
    k = 0
    # P(the median lies outside of the k-th least and k-th greatest) = 2 P(Binomial(n, 1/2) < k)
    while 2 * sum(comb(n, i) for i in range(k + 2)) / 2**n <= 1 - CONFIDENCE and k + 1 < n - k - 1:
        k += 1
    return ordered[k], ordered[n - 1 - k]


@dataclass
class Ratio:
    """Their seconds over ours: above 1 we are faster."""
    median: float
    low: float
    high: float
    pairs: int


def ratio_of(ours, theirs):
    ratios = [their.seconds / our.seconds for our, their in pairs_of(ours, theirs)]
    return Ratio(statistics.median(ratios), *median_interval(ratios), len(ratios)) if ratios else None


@dataclass
class Summary:
    row: str
    engine: str
    measured: int
    kept: int
    seconds: float | None  # the median of those kept
    least: float | None
    share: float | None  # the median, of the peak at each one's moment
    peak: dict | None  # medians of the probes
    ratio: Ratio | None


def summary_of(row, engine, ours, theirs):
    kept = [sample for sample in theirs if sample.kept()]
    of_kept = (lambda number: statistics.median(map(number, kept))) if kept else (lambda number: None)
    return Summary(row, engine, len(theirs), len(kept), of_kept(lambda s: s.seconds),
                   min((s.seconds for s in kept), default=None),
                   of_kept(Sample.share) if kept and kept[0].gflop else None,
                   {probe: of_kept(lambda s: s.peak(probe)) for probe in PROBES} if kept else None,
                   ratio_of(ours, theirs) if engine != OURS else None)


def newest(records):
    """Leaves out what was measured with older versions of the programs than each row's last."""
    last = {(r["row"], r["engine"]): r["version"] for r in records if "engine" in r}
    # A pair needs the version of ours that is the newest, so ours decides for itself alone.
    return [r for r in records if "engine" not in r or r["version"] == last[r["row"], r["engine"]]]


def summaries_of(records):
    """Returns the summaries of all rows, in the order in which rows and engines were first measured."""
    by_row = {}
    for record in newest(records):
        for sample in samples_of(record):
            by_row.setdefault(sample.row, {}).setdefault(sample.engine, []).append(sample)
    return [summary_of(row, engine, engines.get(OURS, []), samples)
            for row, engines in by_row.items() for engine, samples in engines.items()]


def peak_memory_of(records):
    """Returns {row: {engine: bytes}}, the greatest resident set of whole runs."""
    found = {}
    for r in newest(records):
        if r["kind"] == "run":
            row = found.setdefault(r["row"].replace("/run/", "/peak_memory/"), {})
            row[r["engine"]] = max(r["peak_bytes"], row.get(r["engine"], 0))
    return found
