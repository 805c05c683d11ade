#!/usr/bin/env python3
"""The benches of trainings (lora.py, train_memory.py, train_dist.py, train_hosts.py, train_zero.py) with programs that train
nothing: turns, records, bars, the page.
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import re
import sys
import tempfile
import textwrap
import time
import unittest
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import lora  # noqa: E402
import records  # noqa: E402
import train_dist  # noqa: E402
import train_hosts  # noqa: E402
import train_memory  # noqa: E402
import train_zero  # noqa: E402
from samples import OURS  # noqa: E402

STEP_S, SHARED_STEP_S = 0.05, 0.02
# Says what `train --lora` says, a step in every 50 ms.
PROGRAM = f"""\
    #!{sys.executable}
    import json, pathlib, sys, time
    words = sys.argv[1:]
    after = lambda flag: words[words.index(flag) + 1]
    out = pathlib.Path(after("--out"))
    (out.with_suffix("")).mkdir(parents=True)
    (out.with_suffix("") / "words").write_text(" ".join(words))
    begun = time.monotonic()
    with (out.with_suffix("") / "metrics.jsonl").open("w") as metrics:
        for step in range(int(after("--steps"))):
            time.sleep({STEP_S})
            print(json.dumps({{"step": step + 1, "seconds": time.monotonic() - begun}}), file=metrics, flush=True)
"""
# What the bench of a whole step prints (train_step.cpp).
STEP = f"""\
    #!{sys.executable}
    import pathlib, sys
    pathlib.Path(__file__).with_name("words").write_text(" ".join(sys.argv[1:]))
    print("2.567 B parameters, 64x64 latents: 54.1 s a step (optimizer 17 %), at most 14.80 GiB in steps, "
          "15.23 GiB with the checkpoint")
"""
# Trains nothing by a configuration: of --nproc processes a step takes twice as long and sends 1000 bytes to itself.
SHARED = f"""\
    #!{sys.executable}
    import json, pathlib, socket, sys, time, tomllib
    words = sys.argv[1:]
    keys = tomllib.loads(pathlib.Path(words[1]).read_text())
    for one in (words[i + 1] for i, word in enumerate(words) if word == "--set"):
        keys |= tomllib.loads(one)
    processes = int(words[words.index("--nproc") + 1]) if "--nproc" in words else 1
    out = pathlib.Path(keys["output_dir"])
    out.mkdir(exist_ok=True)
    (out / "accounting.json").write_text(json.dumps({{"parameters": 1000}}))
    begun, udp = time.monotonic(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    with (out / "metrics.jsonl").open("w") as metrics:
        for step in range(keys["max_train_steps"]):
            time.sleep({SHARED_STEP_S} * (1 if processes == 1 else 2))
            if processes > 1:
                udp.sendto(bytes(1000 - 28), udp.getsockname())
            print(json.dumps({{"step": step + 1, "seconds": time.monotonic() - begun, "bytes_sent_a_step": 8000 * (processes - 1)
                              / processes}}), file=metrics, flush=True)
"""
# As train_dist_torch.py, three times as slow.
SHARED_PEER = f"""\
    import json, pathlib, sys, time
    words = sys.argv[1:]
    begun = time.monotonic()
    for step in range(int(words[words.index("--steps") + 1])):
        time.sleep({SHARED_STEP_S} * 3)
        with open(words[2], "a") as metrics:
            print(json.dumps({{"step": step + 1, "seconds": time.monotonic() - begun}}), file=metrics)
"""
FAST, SLOW = {"conv": 900.0, "registers": 1000.0}, {"conv": 600.0, "registers": 1000.0}


class Turns:
    """A trainer whose steps take as long as it is told."""

    def __init__(self, seconds):
        self.seconds = seconds

    def turn(self, steps):
        return [self.seconds] * steps

    def peak_bytes(self):
        return 3 << 30


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "bench").mkdir()
        for name, text in (("pangu-draw", PROGRAM), ("bench/bench_train_step", STEP)):
            (self.folder / name).write_text(textwrap.dedent(text))
            (self.folder / name).chmod(0o755)
        self.options = argparse.Namespace(program=self.folder / "pangu-draw", model="sd15", rank=16, threads=1, rounds=4,
                                          resolution=512, no_checkpointing=False, precision="bf16", steps=2, build=self.folder,
                                          folder=self.folder / "made")
        self.options.folder.mkdir()


class Lora(Case):
    def test_the_time_that_a_training_stands_still_is_in_no_step(self):
        training = lora.Ours(self.options, self.folder, os.sched_getaffinity(0))
        self.addCleanup(training.end)
        for _ in range(2):
            time.sleep(20 * STEP_S)
            seconds = training.turn(3)
            self.assertEqual(len(seconds), 3)
            for step in seconds:
                self.assertTrue(0.9 * STEP_S < step < 20 * STEP_S, seconds)
        self.assertGreater(training.peak_bytes(), 1 << 20)

    def test_both_keep_activations_or_neither_does(self):
        for flag, said in ((False, "gradient_checkpointing=true"), (True, "gradient_checkpointing=false")):
            self.options.no_checkpointing = flag
            self.assertIn(said, lora.command_of(self.options, self.folder, 1, self.folder / "out.safetensors"))

    def test_both_train_in_the_precision_that_is_asked_for(self):
        self.options.precision = "no"
        self.assertIn("mixed_precision=no", lora.command_of(self.options, self.folder, 1, self.folder / "out.safetensors"))

    def record_turns(self, peaks):
        """Records of four rounds in which the machine's peak is `peaks`, a probe before each turn and one in the end."""
        probes = iter(peaks)
        with mock.patch.object(lora, "versions", return_value={OURS: "1", lora.THEIRS: "2"}):
            return list(lora.alternate(self.options, {OURS: Turns(2.0), lora.THEIRS: Turns(3.0)}, lambda: next(probes)))

    def test_turns_alternate_and_the_ratio_is_over_pairs_at_one_peak(self):
        taken = self.record_turns([FAST] * 9)
        self.assertEqual([r["engine"] == OURS for r in taken], [True, False, False, True] * 2)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            lora.print_ratio(taken)
        self.assertIn("ratio of samples/s, ours to theirs: 1.50 [1.50, 1.50], 4 pairs", said.getvalue())
        self.assertIn("0.5000 samples/s    3.00 GiB at most   4 of 4 turns kept", said.getvalue())

    def test_a_turn_in_which_the_peak_moved_makes_no_pair(self):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            lora.print_ratio(self.record_turns([FAST] * 3 + [SLOW] * 6))
        # The second turn of the first round is kept, the first of the second is not, and two rounds are left.
        self.assertIn("3 pairs", said.getvalue())
        self.assertIn("3 of 4 turns kept", said.getvalue())


class Memory(Case):
    def row(self, name):
        with mock.patch.object(train_memory, "model_of", return_value="sd15.safetensors"), \
             mock.patch.object(train_memory, "unet_config", return_value="unet.json"), \
             mock.patch.object(lora, "write_pictures"):
            return train_memory.measured(self.options, name)

    def test_a_lora_has_a_record_of_its_memory_and_time(self):
        self.options.steps = 5
        record = self.row("lora_sdxl_512")
        self.assertEqual((record["side_px"], record["bar_gib"], record["threads"], record["steps"]), (512, 8, 1, 5))
        self.assertTrue(0 < record["peak_gib"] < 1 and record["encoding_gib"] > 0, record)
        self.assertGreater(record["step_seconds"], 0.9 * STEP_S)
        self.assertTrue(record["machine"] and record["program"] and record["begun"].startswith("20"), record)

    def test_a_whole_step_has_what_its_bench_says(self):
        record = self.row("full_pangu_draw_3")
        self.assertEqual((record["peak_gib"], record["steps_gib"], record["step_seconds"], record["optimizer_share"]),
                         (15.23, 14.8, 54.1, 0.17))
        self.assertIn("unet.json", (self.folder / "bench/words").read_text())
        self.assertIn("--side 64 --tokens 77", (self.folder / "bench/words").read_text())
        self.assertIn("--most-gib 18", (self.folder / "bench/words").read_text())

    def test_the_bench_of_a_step_still_says_what_is_read(self):
        source = " ".join(re.findall(r'"([^"]*)"', (HERE / "train_step.cpp").read_text()))
        for words in ("B parameters, ", " s a step (optimizer ", "at most ", " GiB in steps, ", " GiB with the checkpoint"):
            self.assertIn(words, source)

    def test_what_is_no_report_ends_the_bench(self):
        (self.folder / "bench/bench_train_step").write_text("#!/bin/sh\necho killed\n")
        with self.assertRaisesRegex(SystemExit, "killed"):
            self.row("full_sd15")

    def test_the_page_has_the_last_record_of_every_row_and_the_bars_of_the_others(self):
        first, last = {**self.row("full_sd15"), "peak_gib": 1.0}, self.row("full_sd15")
        last |= {"begun": "2027-01-02T03:04:05+00:00", "machine": "X", "program": "abc", "busy_before": 0.0}
        lines = train_memory.page_section([first, last]).splitlines()
        self.assertEqual(len(lines), 2 + len(train_memory.LORA) + len(train_memory.FULL))
        self.assertIn("| 10 GiB | 15.23 GiB **above the bar** | without the checkpoint: 14.80 GiB | 54.1 s | "
                      "2027-01-02, X, 1 threads, abc |", lines[5])
        self.assertIn("| 4 GiB | - | - | - | not yet, by this command |", lines[2])
        busy = train_memory.page_section([{**last, "busy_before": 1.7}])
        self.assertIn("where 1.7 threads worked before", busy)

    def test_records_are_appended_and_a_row_above_its_bar_fails(self):
        results = self.folder / "results.jsonl"
        words = ["train_memory.py", self.folder, self.options.folder, "--rows", "full_sd15", "full_pangu_draw_3", "tiny_step",
                 "--results", results]
        with mock.patch.object(sys, "argv", [str(word) for word in words]), \
             mock.patch.object(train_memory, "unet_config", return_value="unet.json"), \
             contextlib.redirect_stdout(io.StringIO()), self.assertRaisesRegex(SystemExit, "full_sd15, tiny_step$"):
            train_memory.main()
        found = [json.loads(line)["row"] for line in results.read_text().splitlines()]
        self.assertEqual(found, ["full_sd15", "full_pangu_draw_3"], "a tiny row has no record")

    def test_sections_of_documents_are_replaced_between_their_marks(self):
        page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
        self.assertEqual(records.with_section(page, "x", "new\n"), page.replace("old", "new"))
        with self.assertRaisesRegex(SystemExit, "y: begin"):
            records.with_section(page, "y", "new\n")


class Shared(Case):
    def setUp(self):
        super().setUp()
        (self.folder / "pangu-draw").write_text(textwrap.dedent(SHARED))
        (self.folder / "train_dist_torch.py").write_text(textwrap.dedent(SHARED_PEER))
        self.results = self.folder / "results.jsonl"

    def take(self, *words):
        """Records of a bench of two rounds."""
        # A fake of the peers in the bench's folder; what draws pictures is no part of this.
        with mock.patch.object(sys, "argv", ["train_dist.py", str(self.folder / "pangu-draw"), "--steps", "6", "--rounds", "2",
                                             "--processes", "1", "2", "--threads", "2", "--results", str(self.results), *words]), \
             mock.patch.object(train_dist, "HERE", self.folder), mock.patch.object(lora, "write_pictures"), \
             mock.patch.object(train_dist, "setting_of", return_value=dict.fromkeys(train_dist.SETTING, "x") | {
                 "precision": "no"}), mock.patch.object(train_dist, "LOOK_S", 0.01), mock.patch("os.sched_setaffinity"), contextlib.redirect_stdout(io.StringIO()) as said:
            train_dist.main()
        self.said = said.getvalue()
        return [json.loads(line) for line in self.results.read_text().splitlines()]

    def test_trainers_take_turns_and_overheads_are_within_rounds(self):
        taken = self.take("--precision", "no")
        order = [(record["trainer"], record["processes"], record["zero_stage"]) for record in taken]
        kinds = [tuple(kind) for kind in train_dist.KINDS if kind.processes < 4]
        self.assertEqual(order, kinds + kinds[::-1])
        rounds = train_dist.rounds_of(taken)
        self.assertAlmostEqual(train_dist.median_ratio(rounds, train_dist.Kind("pangu-draw", 2, 0),
                                                       train_dist.Kind("pangu-draw", 1, 0)), 2, delta=0.5)
        ours = next(record for record in taken if order[taken.index(record)] == ("pangu-draw", 2, 2))
        self.assertEqual((ours["formula_bytes"], ours["asked_bytes"]), (4000, 4000))
        if ours["wire_bytes"] is not None:  # where network namespaces are permitted
            self.assertAlmostEqual(ours["wire_bytes"], 500, delta=1)  # of each of two processes

    def test_the_page_has_the_last_setting_and_what_is_missing(self):
        taken = self.take("--only", "pangu-draw", "DDP")
        lines = train_dist.page_section([{**taken[0], "program": "older", "step_seconds": 99.0}, *taken]).splitlines()
        self.assertEqual(len([line for line in lines if line.startswith("|")]), 2 + len(train_dist.KINDS))
        self.assertNotIn("99000", "".join(lines))
        self.assertRegex(lines[4], r"^\| pangu-draw \| 2 \| 0 \| \d+ ms \| \+\d+\.\d % \| - \| 0\.00 MB \| 0\.00 MB \| ")
        self.assertRegex(lines[5], r"^\| DDP \| 2 \| 0 \| \d+ ms \| - \| [12]\.\d+ \| ")
        self.assertIn("| not yet |", lines[-3])
        self.assertIn("medians of 2 rounds of 6 steps", lines[-1])

    def test_a_run_that_fails_ends_the_bench_with_its_words(self):
        (self.folder / "train_dist_torch.py").write_text("raise SystemExit('no peer today')")
        with self.assertRaisesRegex(SystemExit, "no peer today"):
            self.take()
        self.assertEqual(len(self.results.read_text().splitlines()), 1, "what was over is kept")

    def test_the_formula_is_that_of_the_document(self):
        for precision, weight in (("bf16", 2), ("no", 4)):
            for stage, bytes_sent in ((0, 8), (1, 8 + weight), (2, 4 + weight)):
                self.assertEqual(train_dist.formula_bytes(4, train_dist.Kind("", 4, stage), precision), 3 * bytes_sent)

    def test_hosts_have_a_prediction_of_the_bytes_and_the_step_without_a_limit(self):
        record = {"row": "step", "zero_stage": 0, "mbit": None, "step_seconds": 0.5, "formula_bytes": 12.5e6, "card_bytes": 13e6,
                  "asked_bytes": 12.5e6, "begun": "2027-01-02T", "machine": "X", "program": "abc", "busy_before": 0.0}
        cut = {"row": "cut", "ended_seconds": [26.0, 27.4], "said": ["a\nhas lost the others"] * 4, "begun": "2027-01-02T"}
        lines = train_hosts.page_section([record, {**record, "mbit": 100, "step_seconds": 1.2}, cut]).splitlines()
        self.assertIn("| 0 | 100 Mbit/s | 12.50 MB | 13.00 MB | 1.00 s | 1.00 to 1.50 s | 1.20 s | 2027-01-02, X, abc |", lines)
        self.assertIn("| 2 | 100 Mbit/s | - | - | - | - | - | not yet |", lines)
        self.assertIn("26 to 27 s later", "\n".join(lines))

    def test_a_divided_state_is_beside_its_formula(self):
        self.assertEqual([train_zero.held_bytes(1, stage, "bf16") for stage in (0, 1, 2)], [16, 11, 9])
        self.assertEqual([train_zero.held_bytes(1, stage, "no") for stage in (0, 1, 2)], [16, 12, 10])
        gib = 2**30
        record = {"zero_stage": 2, "precision": "bf16", "resolution": 128, "begun": "2027-01-02T", "machine": "X", "program": "abc",
                  "anonymous_bytes": [gib, 2 * gib], "steps_bytes": [3 * gib] * 2, "peak_bytes": [4 * gib] * 2,
                  "asked_bytes": 2.5786e9}
        lines = train_zero.page_section([record]).splitlines()
        self.assertIn("| 2 | 7.20 GiB | 1.00 and 2.00 GiB, 3.00 and 3.00 GiB | 4.00 and 4.00 GiB | 2578.6 MB | 2578.6 MB | "
                      "2027-01-02, X, bf16, 128 px, abc |", lines)
        self.assertIn("| 0 | 12.81 GiB | - | - | 3438.1 MB | - | not yet |", lines)


if __name__ == "__main__":
    unittest.main()
