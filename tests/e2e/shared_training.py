"""A small training that several processes share, for tests that start them in different ways."""

import json
import pathlib
import subprocess
import tempfile
import unittest

from program import BARE, PROGRAM, ROOT
from small_training import disc_png, write_config, write_networks

STEPS = 50
CLOSE = 1e-5  # of sums in another order in f32, against the loss


class SharedTraining(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        write_networks(self.folder)
        self.data = self.folder / "pictures"
        self.data.mkdir()
        for i in range(6):
            (self.data / f"{i}.png").write_bytes(disc_png(24, 24, i))
            (self.data / f"{i}.txt").write_text(f"disc number {i}\n")

    def config(self, output, **keys):
        values = {"output_dir": str(self.folder / output), "task": "autoencoder", "train_data_dir": [str(self.data)],
                  "network_config": str(self.folder / "vae.json"), "resolution": 8, "train_batch_size": 4,
                  "max_train_steps": STEPS, "mixed_precision": "no", "seed": 5, "replicas": 1, "log_every_n_steps": 1,
                  "sample_every_n_steps": 0, "lr_scheduler": "constant", "lr_warmup_steps": 10,
                  # L1's gradients are signs, which a rounding can turn: the steps are small.
                  "learning_rate": 1e-4, **keys}
        return write_config(self.folder / f"{output}.toml", values)

    def start(self, *arguments, before=(), **environment):
        """before: words before the program's name."""
        process = subprocess.Popen([*before, PROGRAM, "train", *map(str, arguments), "--quiet"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**BARE, "PANGU_HOME": str(ROOT), **environment})
        self.addCleanup(process.kill)
        return process

    def train(self, *arguments, code=0, **environment):
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=840)
        self.assertEqual(process.returncode, code, (arguments, out, err))
        return out + err

    def losses(self, output):
        lines = (self.folder / output / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    def weights(self, output):
        return (self.folder / output / "vae/diffusion_pytorch_model.safetensors").read_bytes()

    def assert_same_losses(self, want, got):
        for step, (a, b) in enumerate(zip(want, got, strict=True)):
            self.assertLess(abs(a - b), CLOSE * abs(a), step)
