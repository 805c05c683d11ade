"""Configurations of other programs: what they say is applied or refused by name, and `inspect` says what `draw` does.

Usage: foreign_config_test.py PROGRAM
"""

import json
import pathlib
import shutil
import tempfile
import unittest

from png_file import png_pixels
from program import ROOT, run

MODEL = ROOT / "models/mini"
SCHEDULER, AUTOENCODER, UNET = "scheduler/scheduler_config.json", "vae/config.json", "unet/config.json"
DRAW = ("--seed", "3", "--size", "64", "--steps", "2", "--schedule", "normal", "--dtype", "f32")

# File -> what makes drawing another thing than the reference library's, and is not known here.
REFUSED = {
    SCHEDULER: [{"_class_name": "EDMDPMSolverMultistepScheduler", "sigma_data": 0.5},
                {"_class_name": "SomeNewScheduler"}, {"thresholding": True}, {"timestep_type": "continuous"},
                {"use_dynamic_shifting": True}, {"variance_type": "learned"}, {"trained_betas": [0.1, 0.2]},
                {"prediction_type": "trigflow"}, {"some_new_key": 2}],
    AUTOENCODER: [{"_class_name": "AsymmetricAutoencoderKL"}, {"latents_mean": [1.0]}, {"act_fn": "gelu"},
                  {"down_block_types": ["AttnDownEncoderBlock2D"] * 5}, {"some_new_key": 2}],
    UNET: [{"_class_name": "UNetMotionModel"}, {"timestep_post_act": "silu"}, {"some_new_key": 2}],
}
APPLIED = {
    SCHEDULER: [{"trained_betas": [0.001] * 1000}, {"timestep_spacing": "leading"}, {"prediction_type": "epsilon"},
                {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "beta_schedule": None,
                 "prediction_type": None}],
    AUTOENCODER: [{"latents_mean": [0.5] * 16, "latents_std": [2.0] * 16, "shift_factor": None},
                  {"scaling_factor": 2.0}],
}
HARMLESS = {
    SCHEDULER: [{"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3, "use_karras_sigmas": True},
                {"clip_sample": True, "clip_sample_range": 1.0}, {"_comment": "x"}, {"some_new_key": False}],
    AUTOENCODER: [{"force_upcast": True, "sample_size": 512}],
}


class ForeignConfig(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.count = 0

    def model_with(self, file, changes):
        """The embedded model, weights linked, with changes in one file; None takes a key out."""
        self.count += 1
        model = self.folder / f"model{self.count}"
        for path in MODEL.rglob("*"):
            to = model / path.relative_to(MODEL)
            if path.is_dir():
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".safetensors":
                to.symlink_to(path)
            else:
                shutil.copy(path, to)
        config = json.loads((model / file).read_text()) | changes
        (model / file).write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
        return model

    def picture(self, model):
        out = self.folder / f"{model.name}.png"
        done = run("draw", "--model", model, "fox", "-o", out, "--overwrite", *DRAW)
        self.assertEqual(done.returncode, 0, done.stderr)
        return png_pixels(out)

    def problem(self, model):
        done = run("inspect", model, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout).get("problem", "")

    def test_what_changes_the_mathematics_is_refused_by_name(self):
        for file, cases in REFUSED.items():
            for changes in cases:
                with self.subTest(file=file, changes=changes):
                    model = self.model_with(file, changes)
                    done = run("draw", "--model", model, "fox", "--plan", *DRAW)
                    self.assertEqual(done.returncode, 2, done.stdout)
                    self.assertIn(next(iter(changes)), done.stderr)
                    said = self.problem(model)
                    self.assertTrue(said and said in done.stderr, (said, done.stderr))

    def test_what_is_known_is_applied(self):
        plain = self.picture(self.model_with(SCHEDULER, {}))
        for file, cases in APPLIED.items():
            for changes in cases:
                with self.subTest(file=file, changes=list(changes)):
                    model = self.model_with(file, changes)
                    self.assertNotEqual(self.picture(model), plain)
                    self.assertEqual(self.problem(model), "")

    def test_what_is_a_sampler_s_or_of_no_effect_changes_nothing(self):
        plain = self.picture(self.model_with(SCHEDULER, {}))
        for file, cases in HARMLESS.items():
            for changes in cases:
                with self.subTest(file=file, changes=list(changes)):
                    model = self.model_with(file, changes)
                    self.assertEqual(self.picture(model), plain)
                    self.assertEqual(self.problem(model), "")


if __name__ == "__main__":
    unittest.main()
