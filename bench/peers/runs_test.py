#!/usr/bin/env python3
"""How the bench measures whole processes, with an engine that draws nothing: packed weights, going on after a kill, the
end of the time, results whose last line was cut.
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import textwrap
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import runs  # noqa: E402
from child import Child, CutOff, EngineFailed  # noqa: E402
from measure import Bench, Results, groups_that_fit  # noqa: E402
from rows import ROWS, Row, chosen_rows, engines_of  # noqa: E402
from table import GIB  # noqa: E402

PEAK = {"conv": 900.0, "registers": 1000.0}
# It notes what was in its folder of packed weights when it was loaded, and writes a file into it when it is unloaded.
ENGINE = """
    import json, pathlib, sys
    notes, writes = pathlib.Path(sys.argv[1]), sys.argv[2] == "writes"
    say = lambda **line: print(json.dumps(line), flush=True)
    say(ready=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "load":
            folder = asked.get("packed_weights")
            there = sorted(path.name for path in pathlib.Path(folder).iterdir()) if folder else None
            with notes.open("a") as file:
                file.write(json.dumps(there) + "\\n")
        if asked["do"] == "picture":
            for part in ("prepare", *["step"] * asked["steps"], "decode"):
                say(part=part, seconds=1.0)
                sys.stdin.readline()
        if asked["do"] == "unload" and writes:
            (pathlib.Path(folder) / "unet.packed").write_text("packed")
        if asked["do"] == "quit":
            break
        say(seconds=1.0)
"""


class Probes(unittest.TestCase):
    def test_parts_stand_between_their_own_probes_or_all_between_the_same(self):
        for is_one, expected in ((False, [(0, 1), (1, 2), (2, 3)]), (True, [(0, 1)] * 3)):
            probes = iter(range(1, 9))
            found = runs.between_probes([{"part": name} for name in "abc"], lambda: next(probes), 0, is_one)
            self.assertEqual([(part["before"], part["after"]) for part in found], expected)
            self.assertEqual([part["part"] for part in found], list("abc"))


class FakeBench(Bench):
    """The bench, but for the programs that it starts."""

    def __init__(self, folder, writes="writes"):  # noqa: the probe of Bench's own is a program
        self.settings = argparse.Namespace(quick=True, cache=folder, threads=1, steps=None)
        self.results, self.cpus = Results(folder / "results.jsonl"), os.sched_getaffinity(0)
        self.run, self.rounds, self.versions = "now", 0, {}
        self.deadline, self.end = None, None
        self.packed = runs.PackedWeights(folder / "packed")
        self.script, self.notes, self.writes = folder / "engine.py", folder / "notes", writes
        self.script.write_text(textwrap.dedent(ENGINE))
        self.started = []

    def probe(self):
        return PEAK

    def version(self, _):
        return "1"

    def folder(self, *_):
        return self.settings.cache / "weights"

    def gflop(self, *_):
        return 1.0

    def start(self, engine):
        self.started.append(engine)
        command = [sys.executable, str(self.script), str(self.notes), self.writes]
        child = Child(command, self.cpus, 1, self.settings.cache / "log", until=self.end)
        child.receive()
        return child

    def noted(self):
        return [json.loads(line) for line in self.notes.read_text().splitlines()]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def measure(self, bench, *engines, rounds=1):
        row = Row("sd15/run/b1", engines, rounds, rounds, engines)
        with contextlib.redirect_stdout(io.StringIO()):
            runs.measure_runs(bench, row, list(engines))
        return [(r["round"], r["engine"]) for r in bench.results.records if r["kind"] == "run"]


class PackedWeights(Case):
    def test_the_first_start_has_an_empty_folder_the_next_one_what_that_has_written_and_nothing_is_left(self):
        bench = FakeBench(self.folder)
        self.assertEqual(self.measure(bench, "ours", "ours-cold", "ours-warm", rounds=2),
                         [(i, engine) for i in (1, 2) for engine in ("ours", "ours-cold", "ours-warm")])
        self.assertEqual(bench.noted(), [None, [], ["unet.packed"]] * 2)
        self.assertFalse(bench.packed.folder.exists())

    def test_without_a_first_start_a_process_that_is_not_counted_fills_the_folder(self):
        bench = FakeBench(self.folder)
        self.assertEqual(self.measure(bench, "ours", "ours-warm"), [(1, "ours"), (1, "ours-warm")])
        self.assertEqual(bench.noted(), [None, [], ["unet.packed"]])
        self.assertEqual(bench.started, ["ours", "ours-warm", "ours-warm"])

    def test_where_nothing_is_packed_that_is_the_result(self):
        bench = FakeBench(self.folder, writes="nothing")
        self.assertEqual(self.measure(bench, "ours", "ours-cold", "ours-warm"), [(1, "ours")])
        failures = [r for r in bench.results.records if r["kind"] == "failure"]
        self.assertEqual([r["engine"] for r in failures], ["ours-cold", "ours-warm"])
        self.assertIn("no packed weights", failures[0]["reason"])

    def test_what_a_killed_bench_has_left_is_removed(self):
        (self.folder / "packed/sd15").mkdir(parents=True)
        (self.folder / "packed/sd15/old.packed").write_text("gigabytes")
        self.assertEqual(FakeBench(self.folder).packed.files("sd15"), [])

    def test_the_rows_of_whole_processes_have_both_where_weights_are_kept_packed(self):
        for row in ROWS:
            both = {"ours-cold", "ours-warm"} & set(row.engines)
            self.assertEqual(len(both), {"sd15/run/b1": 2, "sdxl/run/b1": 2, "pangu3/run/b1": 1}.get(row.name, 0), row)
        (quick,) = [row for row in chosen_rows("sd15/run", quick=True)]
        self.assertEqual(engines_of(quick, [], True, {"avx512_bf16"}), ["ours", "ours-cold", "ours-warm", "torch", "openvino"])


class Steps(Case):
    def test_a_whole_run_takes_the_steps_that_are_asked_for_or_those_of_the_model(self):
        for quick, asked, expected in ((True, None, 3), (False, None, 20), (False, 2, 2), (True, 5, 5), (False, 50, 20)):
            bench = FakeBench(pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())))
            bench.settings.quick, bench.settings.steps = quick, asked
            self.measure(bench, "ours")
            (record,) = [r for r in bench.results.records if r["kind"] == "run"]
            self.assertEqual([part["part"] for part in record["parts"]].count("step"), expected)


class Groups(unittest.TestCase):
    def test_peers_share_the_memory_with_ours_and_what_computes_in_f32_takes_twice_the_weights(self):
        def grouped(weights_gib, *engines):
            return groups_that_fit(["ours", *engines], weights_gib * GIB, 20 * GIB)

        # 3 GiB each
        self.assertEqual(grouped(1, "torch", "openvino"), [["ours", "torch", "openvino"]])
        # 7.5 GiB each, of f32 13.5 GiB, which does not fit beside ours and is tried all the same
        self.assertEqual(grouped(4, "torch", "openvino"), [["ours", "torch"], ["ours", "openvino"]])
        self.assertEqual(grouped(4, "torch-f32", "sdcpp"), [["ours", "torch-f32"], ["ours", "sdcpp"]])
        # 4.5 GiB, of f32 7.5 GiB
        self.assertEqual(grouped(2, "torch-f32", "sdcpp"), [["ours", "torch-f32", "sdcpp"]])
        self.assertEqual(grouped(2, "torch-f32", "openvino-f32"), [["ours", "torch-f32", "openvino-f32"]])
        self.assertEqual(grouped(2, "torch-f32", "openvino-f32", "sdcpp"),
                         [["ours", "torch-f32", "openvino-f32"], ["ours", "sdcpp"]])
        self.assertEqual(grouped(1), [["ours"]])


class GoingOn(Case):
    def test_an_engine_whose_run_was_missed_is_measured_beside_a_new_run_of_ours(self):
        bench = FakeBench(self.folder)
        self.measure(bench, "ours")
        bench = FakeBench(self.folder)
        bench.run = "later"
        self.measure(bench, "ours", "torch")
        self.assertEqual(bench.started, ["ours", "torch"])
        # Now there is nothing to do, also for a bench that begins again.
        bench = FakeBench(self.folder)
        self.measure(bench, "ours", "torch")
        self.assertEqual(bench.started, [])

    def test_a_line_that_was_cut_is_forgotten_and_the_next_one_takes_its_place(self):
        path = self.folder / "results.jsonl"
        path.write_text('{"kind": "machine"}\n{"kind": "sam')
        results = Results(path)
        self.assertEqual(results.records, [{"kind": "machine"}])
        self.assertTrue(path.read_text().endswith("sam"), "who only reads changes nothing")
        results.append(kind="sample")
        results.append(kind="run")
        self.assertEqual([r["kind"] for r in Results(path).records], ["machine", "sample", "run"])

    def test_an_engine_that_is_still_at_work_when_the_time_is_over_is_cut_off_and_not_blamed(self):
        sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
        begun = time.monotonic()
        with self.assertRaises(CutOff), Child(sleeper, os.sched_getaffinity(0), 1, self.folder / "log", until=begun + 0.2) as child:
            try:
                child.receive()
            finally:
                child.process.kill()
        self.assertLess(time.monotonic() - begun, 30)
        bench = FakeBench(self.folder)
        with contextlib.redirect_stdout(io.StringIO()):
            bench.failed("row", "torch", CutOff("late"))
            self.assertEqual(bench.results.records, [])
            bench.failed("row", "torch", EngineFailed("no memory"))
        self.assertEqual([r["reason"] for r in bench.results.records], ["no memory"])

    def test_an_engine_that_is_slow_has_only_its_own_time(self):
        with self.assertRaisesRegex(EngineFailed, "no answer within 0.1 s"):
            child = Child([sys.executable, "-c", "import time; time.sleep(60)"], os.sched_getaffinity(0), 1,
                          self.folder / "log", most_seconds=0.1)
            try:
                child.receive()
            finally:
                child.process.kill()
                child.end()


if __name__ == "__main__":
    unittest.main()
