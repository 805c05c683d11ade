"""Records of measurements: JSON lines in bench/results/, a file a kind of bench and a processor, and the sections of
documents that are written from them. What measures is elsewhere; this needs the standard library alone.
"""
import datetime
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"
# What the program is made of; other changes leave it as it is.
SOURCES = ("src", "cmake", "CMakeLists.txt")
# Of /proc/cpuinfo: instructions that multiply bf16 numbers. bench/peers/probe.cpp asks the same.
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def processor():
    """Returns the first processor's facts of /proc/cpuinfo."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        block = info.read().split("\n\n")[0]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())}


def processor_flags():
    return set(processor().get("flags", "").split())


def multiplies_bf16(flags):
    return bool(BF16_FLAGS & set(flags))


def results_path(kind, *facts):
    """facts: of the processor, which tell machines apart, such as "model name"."""
    cpu = processor()
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(cpu[fact] for fact in facts).lower()).strip("-")
    return RESULTS / f"{kind}-{name}.jsonl"


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def program_version(*more):
    """Returns the last commit of the program's sources, and `more` paths, with a + if they were changed since."""
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words, "--", *SOURCES, *more], capture_output=True, text=True,
                              check=False).stdout.strip()

    return (git("log", "-1", "--format=%h") or "unknown") + ("+" if git("status", "--porcelain") else "")


def append(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as results:
        results.write(json.dumps(record) + "\n")


def read(kind):
    """Returns the records of all processors, in the order of the files' names."""
    return [json.loads(line) for path in sorted(RESULTS.glob(f"{kind}-*.jsonl"))
            for line in path.read_text(encoding="utf-8").splitlines()]


def table(head, lines):
    """Returns a table in Markdown; every cell is a text."""
    rows = [f"| {' | '.join(line)} |\n" for line in (head, *lines)]
    return "".join([rows[0], "|" + "---|" * len(head) + "\n", *rows[1:]])


def with_section(page, name, section):
    """Puts `section` between the page's lines "<!-- NAME: begin -->" and "<!-- NAME: end -->"."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, found_begin, rest = page.partition(begin)
    _, found_end, behind = rest.partition(end)
    if not found_begin or not found_end:
        raise SystemExit(f"expected a page with the lines {begin.strip()} and {end.strip()}")
    return before + begin + section + end + behind


def write_section(document, name, section):
    """document: relative to the repository."""
    path = ROOT / document
    path.write_text(with_section(path.read_text(encoding="utf-8"), name, section), encoding="utf-8")


def busy_text(record):
    """What a table says of a machine that had other work when a measurement began."""
    busy = record["busy_before"]
    return f", where {busy:.1f} threads worked before" if busy >= 0.5 else ""


def high_water_bytes(pid):
    """Returns the greatest resident set of a process that runs so far (VmHWM), mapped files as far as they were touched."""
    return memory_of(pid, "VmHWM")


def resident_bytes(pid):
    return memory_of(pid, "VmRSS")


def memory_of(pid, what):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(what + ":"))
