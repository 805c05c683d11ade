"""bench/peers measures tiny networks from end to end: this program and PyTorch load the same weights, take steps, decode
and draw in alternation, and what they say is what the table is made of. Seconds are not judged here.

Usage: peers_test.py PROGRAM, beside whose folder bench/ the bench's own programs are.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(sys.argv[1]).resolve().parent / "bench"
sys.path.insert(0, str(ROOT / "bench/peers"))
ENGINES = {"ours", "torch"}


def peers(folder, *words):
    command = [sys.executable, str(ROOT / "bench/peers/main.py"), "--tiny", "--engines", "torch", "--threads", "1",
               "--probe-seconds", "0.02", "--cache", str(folder), "--results", str(folder / "results.jsonl"),
               "--programs", str(PROGRAMS), *words]
    return subprocess.run(command, capture_output=True, text=True)


def check_samples(records):
    for row in ("tiny/step/b1", "tiny/decode/b1"):
        found = [r for r in records if r["kind"] == "sample" and r["row"] == row]
        assert {r["engine"] for r in found} == ENGINES, (row, found)
        for r in found:
            assert r["seconds"] > 0 and r["gflop"] > 0, r
            assert all(r[side][probe] > 0 for side in ("before", "after") for probe in ("conv", "registers")), r


def check_runs(records):
    found = [r for r in records if r["kind"] == "run"]
    assert {r["engine"] for r in found} == ENGINES, found
    for r in found:
        assert [part["part"] for part in r["parts"]] == ["prepare", "step", "step", "decode"], r
        assert r["start"]["seconds"] > 0 and r["load"]["seconds"] > 0 and r["peak_bytes"] > 1 << 20, r
    # The program counts the operations as the bench does.
    ours = next(r for r in found if r["engine"] == "ours")
    counted = 2 * 2 * ours["load"]["row_gflop"] + ours["load"]["decode_gflop"]
    assert abs(counted - ours["gflop"]) < 1e-6 * counted, (counted, ours["gflop"])


def check_profiles(records):
    found = [r for r in records if r["kind"] == "profile"]
    assert {(r["engine"], r["of"]) for r in found} == {(e, of) for e in ENGINES for of in ("step", "decode")}, found
    for r in found:
        kinds = ("convolution", "norm and activation", *(["attention", "linear"] if r["of"] == "step" else []))
        assert all(r["kinds"].get(kind, 0) > 0 for kind in kinds), r


def main() -> int:
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        done = peers(folder)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        failures = [r for r in records if r["kind"] == "failure"]
        assert not failures, failures
        machine = records[0]
        assert machine["kind"] == "machine" and machine["processor"] and machine["versions"]["torch"], machine
        check_samples(records)
        check_runs(records)
        check_profiles(records)
        shown = peers(folder, "--table")
        assert shown.returncode == 0 and "tiny/step/b1" in shown.stdout and "tiny/peak_memory/b1" in shown.stdout, shown
        wrong = peers(folder, "--rows", "no such row")
        assert wrong.returncode != 0 and "--list" in wrong.stderr, wrong
    print("the bench measured tiny networks with this program and PyTorch")
    return 0


if __name__ == "__main__":
    sys.exit(main())
