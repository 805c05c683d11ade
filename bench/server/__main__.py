"""Tries the server's promises under load and faults: nothing lost, nothing twice, in order, in time, in its memory.

    python3 bench/server PROGRAM [--rows REGEX] [--scale 0.1] [--priority] [--page]

A row is a situation, such as 200 clients at once, or a full disk. What was found is printed, appended to
bench/results/server-MACHINE.jsonl, and, with --page, put into docs/server.md. Rows that need a mount or a clock of their
own want root and Debian's faketime, and are skipped loudly without them. The exit code is 1 if a promise was broken.
"""
import argparse
import os
import pathlib
import re
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT / "tests/e2e")]
import records  # noqa: E402


def read_settings():
    parser = argparse.ArgumentParser(prog="python3 bench/server PROGRAM", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", default="", metavar="REGEX", help="the rows whose names it is found in")
    parser.add_argument("--scale", type=float, default=1.0, help="of the counts, say 0.1 for a quick look")
    parser.add_argument("--priority", action="store_true",
                        help="the server, its workers and the clients before other programs of a busy machine")
    parser.add_argument("--seed", type=int, default=1, help="of moments and malformed requests")
    parser.add_argument("--page", action="store_true", help="write the results that there are into docs/server.md")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    return parser.parse_args(sys.argv[2:])


def page_section(found, order):
    """The last record of every row, as a table in the order of the rows."""
    last, lines = {record["row"]: record for record in found}, []
    for row in order:
        if row in last:
            record = last[row]
            broken = "".join(f"; **broken: {fault}**" for fault in record["faults"])
            how = " (at `nice -n -10`)" if record["priority"] else ""
            lines.append((f"`{row}`", record["what"] + how, record["found"] + broken))
    return records.table(("row", "what is done", "what was found"), lines)


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.argv[1:1] = [str(ROOT / "build/release/pangu-draw")]
    settings = read_settings()
    from all_rows import ROWS
    from rows import Outcome, Settings, Skipped
    if settings.list:
        print(*ROWS, sep="\n")
        return 0
    chosen = [name for name in ROWS if re.search(settings.rows, name)] if not settings.page or settings.rows else []
    if settings.priority:
        os.nice(-10)  # the server inherits it
    broken = False
    for name in chosen:
        print(f"{name}: ...", flush=True)
        begun = records.now()
        try:
            outcome = ROWS[name](Settings(scale=settings.scale, random_seed=settings.seed))
        except Skipped as lacking:
            print(f"{name}: SKIPPED: {lacking}", flush=True)
            continue
        except (AssertionError, OSError) as failed:  # a server that does not answer breaks promises as well
            traceback.print_exc()
            outcome = Outcome(f"`{name}`", "it could not be finished", {}, [f"{type(failed).__name__}: {failed}"])
        record = {"row": name, "begun": begun, "machine": records.processor()["model name"],
                  "program": records.program_version(), "scale": settings.scale, "priority": settings.priority, "what": outcome.what, "found": outcome.found,
                  "facts": outcome.facts, "faults": outcome.faults[:20]}
        print(f"  {outcome.what}\n  {outcome.found}")
        for fault in outcome.faults[:20]:
            print(f"  BROKEN: {fault}")
        broken = broken or bool(outcome.faults)
        if settings.scale == 1.0:
            records.append(records.results_path("server", "model name"), record)
    if settings.page:
        records.write_section("docs/server.md", "bench/server", page_section(records.read("server"), ROWS))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
