"""bench/peers measures tiny networks from end to end: this program and PyTorch load the same weights, take steps, decode
and draw in alternation, and what they say is what the table is made of. Seconds are not judged here. Which engines are
measured on which processor is asked with flags of other processors too.

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
from engines import ENGINES as ALL, records  # noqa: E402
from rows import ROWS, TINY, engines_of  # noqa: E402

HAS_BF16 = records.multiplies_bf16(records.processor_flags())
ENGINES = {"ours", "torch" if HAS_BF16 else "torch-f32"}
ZEN_3, SKYLAKE = {"avx2", "fma", "f16c"}, {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"}
ZEN_4, SAPPHIRE_RAPIDS = SKYLAKE | {"avx512_vnni", "avx512_bf16"}, SKYLAKE | {"avx512_vnni", "avx512_bf16", "amx_bf16"}


def check_choice_by_flags():
    """Bf16 is measured where the processor multiplies it, and f32 where it does not, never the two beside each other."""
    for flags in (ZEN_4, SAPPHIRE_RAPIDS, {"amx_bf16"}):
        assert engines_of(TINY[0], [], False, flags) == [
            "ours", "torch", "torch-compile", "openvino", "ours-int8", "openvino-int8", "openvino-w8a8", "sdcpp"], flags
        assert engines_of(TINY[0], ["torch"], False, flags) == ["ours", "torch"], flags
        for row in ROWS:
            for quick in (False, True):
                assert not any(ALL[e].computes_in_f32() for e in engines_of(row, [], quick, flags)), row
    for flags in (ZEN_3, SKYLAKE, set()):
        assert engines_of(TINY[0], [], False, flags) == [
            "ours", "ours-f32", "torch-f32", "torch-compile-f32", "openvino-f32", "openvino-int8-f32", "openvino-w8a8-f32",
            "sdcpp", "sdcpp-q8"], flags
        # The name of an engine in bf16 means the one that stands for it; ours has kernels for bf16 and stays.
        assert engines_of(TINY[0], ["torch", "openvino-w8a8"], False, flags) == ["ours", "torch-f32", "openvino-w8a8-f32"]
        assert engines_of(TINY[0], ["ours"], False, flags) == ["ours"], flags
        assert engines_of(TINY[0], ["ours-f32"], False, flags) == ["ours", "ours-f32"], flags
    with_bf16, without = ({row.name: len(engines_of(row, [], False, flags)) for row in ROWS} for flags in (ZEN_4, ZEN_3))
    assert all(without[name] >= with_bf16[name] - 1 for name in without), "a row has lost its peers"
    for name, engine in ALL.items():
        # What a peer computes in is in its name and its title, for records and pages have no more.
        assert engine.computes_in_f32() == name.endswith("-f32") == ("f32" in engine.title), name


def check_probe(machine, probe):
    """The peak is that of numbers that this processor multiplies."""
    flags = set(machine["flags"])
    assert probe["conv_type"] == ("bf16" if HAS_BF16 else "f32"), probe
    # The kernel of the operating system may refuse the tiles of AMX.
    loops = {"amx_bf16", "avx512_bf16"} if HAS_BF16 else {"avx512_f32"} if "avx512f" in flags else {"avx2_f32"}
    assert probe["loop"] in loops, (probe, flags)


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
    check_choice_by_flags()
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
        check_probe(machine, next(r["before"] for r in records if r["kind"] == "sample"))
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
