"""`pangu-draw study tdts` and `plan-training` as a person meets them: the identities of the accounting, and a study of two
tiny strategies that is stopped and goes on.

Usage: study_test.py PROGRAM
"""

import json
import pathlib
import tempfile
import unittest

import program
from program import ROOT
from toy_judge import write_bars, write_inception

CONFIGS = ROOT / "configs/study"
UNET = json.loads((CONFIGS / "half.json").read_text()) | {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [16, 16], "attention_head_dim": [1, 1], "norm_num_groups": 4}
MARKS = ("<!-- study: written by `pangu-draw study tdts` -->", "<!-- end of the study -->")


def drawing_of_tests():
    return {"default_size": [64, 64], "default_steps": 2}


class Study(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_program(self, *arguments, code=0):
        done = program.run(*arguments, cwd=self.path)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_the_identities_of_the_accounting_hold(self):
        said = self.run_program("study", "tdts", "--smoke").stdout
        self.assertEqual(said.count("ok "), len(said.splitlines()))
        self.assertIn("expected 1.48, found 1.48", said)
        self.assertIn("operations of a drawn picture", said)

    def test_a_plan_says_what_the_claims_come_to(self):
        plan = json.loads(self.run_program("plan-training", CONFIGS / "paper/plan.toml", "--json").stdout)
        decoupled, boost = plan["strategies"]
        self.assertEqual(plan["recommended"], "tdts")
        self.assertAlmostEqual(decoupled["pictures"] / boost["pictures"], 1.48, places=9)
        self.assertAlmostEqual(decoupled["gflop_a_picture"] / boost["gflop_a_picture"], 0.5, delta=0.01)
        self.assertAlmostEqual(decoupled["gflop_at_one_sample_a_stage"] / boost["gflop_at_one_sample_a_stage"], 0.5,
                               delta=0.01)
        said = self.run_program("plan-training", CONFIGS / "paper/plan.toml").stdout
        self.assertIn("published", said)
        self.assertIn("20 % longer than their number says", said)

    def test_a_plan_says_what_many_devices_hold_send_and_take(self):
        plan = json.loads(self.run_program("plan-training", CONFIGS / "paper/plan.toml", "--json").stdout)
        counts = {"tdts": 2565825284, "resolution_boost": 5169952964}  # parameters, of diffusers' modules
        for strategy in plan["strategies"]:
            rows = {(row["stage"], row["devices"], row["zero_stage"]): row for row in strategy["shared"]}
            stages = [stage["name"] for stage in strategy["stages"]]
            self.assertEqual(sorted(rows), sorted((s, n, z) for s in stages for n in (8, 64, 512) for z in (0, 1, 2)))
            parameters = counts[strategy["strategy"]]
            for (stage, devices, zero), row in rows.items():
                held = 2 + (4 / devices if zero == 2 else 4) + (14 / devices if zero else 14)
                sent = (8, 10, 6)[zero] * (devices - 1) / devices
                self.assertAlmostEqual(row["state_bytes"] / (held * parameters), 1, places=9)
                self.assertAlmostEqual(row["bytes_sent_a_step"] / (sent * parameters), 1, places=9)
                gflop = next(one["gflop"] for one in strategy["stages"] if one["name"] == stage)
                for machine, speed in (("A100, 40 % of 312 TFLOP/s", 125000), ("H100, 40 % of 990 TFLOP/s", 396000)):
                    self.assertAlmostEqual(row["hours"][machine] / (gflop / speed / 3600 / devices * 1.2), 1, places=9)
        # Of one sample, blocks computed twice: at 1024 px four times the pixels of 512 px.
        small, large = (plan["strategies"][0]["shared"][i]["activation_bytes"] for i in (-1, 0))
        self.assertAlmostEqual(large, 0.8157e9, delta=1e6)
        self.assertAlmostEqual(small, 0.2042e9, delta=1e6)

    def test_a_plan_counts_the_pictures_of_a_dataset(self):
        write_bars(self.path / "data")
        (self.path / "plan.toml").write_text(
            f'strategies = ["{CONFIGS}/tdts.toml", "{CONFIGS}/monolith.toml"]\n'
            'train_data_dir = ["data"]\nbudget_epochs = 3\n')
        plan = json.loads(self.run_program("plan-training", "plan.toml", "--json").stdout)
        structure, texture = plan["strategies"][0]["stages"]
        self.assertEqual((structure["pictures"], structure["samples"]), (5, 15))
        self.assertEqual(texture["pictures"], 0)  # they have 64 pixels
        (self.path / "plan.toml").write_text('strategies = []\n')
        self.assertIn("strategies", self.run_program("plan-training", "plan.toml", code=2).stderr)

    def write_study(self):
        files = {"unet.json": json.dumps(UNET), "drawing.json": json.dumps(drawing_of_tests())}
        files["base.toml"] = (
            'output_dir = "run"\ntrain_data_dir = ["data"]\nnetwork_config = "unet.json"\n'
            f'model_dir = "{ROOT}/models/mini"\ndrawing = ["drawing.json"]\nresolution = 64\nenable_bucket = true\n'
            'bucket_reso_steps = 32\ntrain_batch_size = 2\nmax_train_steps = 1000\nlr_scheduler = "constant"\n'
            'sample_every_n_steps = 0\nreplicas = 1\n')
        files["decoupled.toml"] = (
            'title = "Decoupled"\nbase = "base.toml"\ntuning = [[], ["learning_rate=1e-3"]]\n'
            '[[stage]]\nname = "structure"\nmin_timestep = 500\n[[stage]]\nname = "texture"\nmax_timestep = 500\n'
            'resolution = 32\nmin_image_size = 32\n')
        files["boost.toml"] = (
            'title = "Boost"\nbase = "base.toml"\ntuning = [[], ["learning_rate=1e-3"]]\n'
            '[[stage]]\nname = "half"\nresolution = 32\n[[stage]]\nname = "full"\nbegin_from = "half"\n')
        group = 'strategies = ["decoupled.toml", "boost.toml"]\n'
        files["study.toml"] = (
            'budget_gflop = 0.3\nreference = "boost"\nnative_sizes = [32, 64]\nnative_shares = [1, 2]\nprompts = 2\n'
            'drawing_steps = 2\n'
            f'[[group]]\nname = "tuning"\ntunes = true\nbudget = 0.2\npoints = [1.0]\nseeds = [7]\n{group}'
            f'[[group]]\nname = "main"\npoints = [0.25, 1.0]\n{group}')
        files["page.md"] = "# Mine\n\n{}\n{}\n\nafter\n".format(*MARKS)
        for name, text in files.items():
            (self.path / name).write_text(text)

    def test_a_study_that_was_stopped_goes_on_and_writes_its_page(self):
        write_bars(self.path / "data")
        write_inception(self.path / "inception.safetensors")
        self.write_study()
        command = ["study", "tdts", "study.toml", "--data", "data", "--inception", "inception.safetensors", "--work",
                   "work", "--records", "results", "--out", "page.md", "--threads", "1", "-q"]
        self.run_program(*command, "--only", "tuning")
        records = (self.path / "results/records.jsonl").read_text()
        self.assertEqual(records.count("\n"), 4)
        self.assertIn("no answer", (self.path / "page.md").read_text())
        self.run_program(*command)
        after = (self.path / "results/records.jsonl").read_text()
        self.assertTrue(after.startswith(records), "what was recorded is not done again")
        found = [json.loads(line) for line in after.splitlines()]
        self.assertEqual(len(found), 8)
        last = found[-1]
        self.assertEqual((last["run"]["strategy"], last["point"], len(last["stages"])), ("boost", 1.0, 2))
        self.assertGreater(last["gflop"], 0.2)
        self.assertGreater(last["quality"]["loss"], 0)
        self.assertEqual(last["quality"]["held_out"]["count"], 2)
        self.assertGreater(last["peak_memory_bytes"], 1e7)
        page = (self.path / "page.md").read_text()
        self.assertTrue(page.startswith("# Mine\n") and page.endswith("\nafter\n"), page)
        self.assertIn("8 of 8 points", page)
        self.assertTrue((self.path / "images/tdts_curves.svg").read_text().startswith("<svg"))
        self.assertTrue((self.path / "images/tdts_grid.webp").exists())
        self.assertIn("images/tdts_grid.webp", page)
        # Nothing is left to do, and the page is the same from the records alone, also where no training is.
        for work in ("work", "elsewhere"):
            self.run_program("study", "tdts", "study.toml", "--page", "--work", work, "--records", "results", "--out",
                             "page.md")
            written = (self.path / "page.md").read_text()
            self.assertEqual(written.split("<details>")[0], page.split("<details>")[0])
        self.assertEqual((self.path / "results/records.jsonl").read_text(), after)
        self.assertIn("unknown", self.run_program(*command, "--only", "unknown", code=2).stderr)


if __name__ == "__main__":
    unittest.main()
