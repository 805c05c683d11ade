"""What the tests of trainings beside PyTorch share: tiny models with random weights, pictures, and the comparison.

A module of tests/e2e: import program first, and this inside of reference_imports("tools/parity", "tools").
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import tempfile
import unittest

import dump_coop
import numpy as np
import torch
from PIL import Image
from program import run_as_user
from safetensors.torch import load_file
from small_training import ONE_SHARD

CAPTIONS = ["a photo of a (red:1.3) fox", "a blue house, in the snow"]
WIDTH, HEIGHT, SIDE, RATE, STEPS = 96, 64, 64, 1e-3, 20
# PanGu-Draw 3 trains at 512 px only. With short transformers, one picture a step and fewer steps that takes as long as others.
PANGU_BLOCKS, PANGU_STEPS, PANGU_TEXT_STEPS = 1, 10, 4
# Of sums in another order in f32: of a loss, and of a tensor's gradient against its own size.
CLOSE = 1e-4

# Of PanGu-Draw 3, in the order of their indices; the large sizes have the same (src/pipeline/families/pangu_draw_3.cpp).
SMALL_SIZES = [(256, 1024), (256, 960), (320, 768), (384, 640), (448, 576), (512, 512), (576, 448), (640, 384), (768, 320),
               (960, 256), (1024, 256)]


class Parts:
    """What of a pipeline a training needs."""

    def __init__(self, unet, bars):
        self.unet, self.scheduler = unet, argparse.Namespace(alphas_cumprod=bars)


def relative(got, want):
    return ((got - want).norm() / want.norm()).item()


class TrainingCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        torch.manual_seed(3)
        dump_coop.sd15(cls.folder / "words").save_pretrained(cls.folder / "sd15")
        dump_coop.sdxl(cls.folder / "words").save_pretrained(cls.folder / "sdxl")
        shutil.copytree(cls.folder / "sd15", cls.folder / "predicts_v")
        scheduler = cls.folder / "predicts_v/scheduler/scheduler_config.json"
        scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"prediction_type": "v_prediction"}))
        data = cls.folder / "pictures"
        data.mkdir()
        rng = np.random.default_rng(4)
        for i, caption in enumerate(CAPTIONS):
            small = Image.fromarray(rng.integers(0, 255, (4, 6, 3), dtype=np.uint8))
            small.resize((WIDTH, HEIGHT), Image.BICUBIC).save(data / f"{i}.png")
            (data / f"{i}.txt").write_text(caption)

    def run_training(self, flags, settings, code=0):
        settings = {"mixed_precision": '"no"', "lr_warmup_steps": 0, "max_grad_norm": 0, "log_every_n_steps": 1, **settings}
        sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        done = run_as_user("train", *flags, "-q", *sets)
        self.assertEqual(done.returncode, code, (flags, done.stdout, done.stderr))
        return done

    def draw(self, model, *flags, size=64, steps=3):
        (self.folder / "out.png").unlink(missing_ok=True)
        done = run_as_user("draw", CAPTIONS[0], "--model", self.folder / model, "--size", str(size), "--steps", str(steps), "--seed", "5",
                           "--dtype", "f32", "--threads", "1", "-q", *flags, "--out", self.folder / "out.png")
        self.assertEqual(done.returncode, 0, (flags, done.stderr))
        return np.asarray(Image.open(self.folder / "out.png").convert("RGB"), dtype=np.int32)

    def losses(self, name):
        return [json.loads(line)["loss"] for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]

    def state(self, name, part):
        tensors = load_file(self.folder / name / ONE_SHARD)
        return {key.removeprefix(part): value for key, value in tensors.items() if key.startswith(part)}

    def pixels(self, i):
        """Of a picture as it is trained on, [1,3,SIDE,SIDE] in [-1,1]."""
        picture = np.asarray(Image.open(self.folder / f"pictures/{i}.png"), dtype=np.float32)
        left = (WIDTH - SIDE) // 2
        return torch.from_numpy(picture[:, left:left + SIDE] / 127.5 - 1).permute(2, 0, 1)[None]

    @staticmethod
    def encoded(pipe, pixels):
        return pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor

    def data(self, pipe, told):
        return [(self.encoded(pipe, self.pixels(i))[0], told(pipe, caption)) for i, caption in enumerate(CAPTIONS)]

    @staticmethod
    def ids(tokenizer, caption):
        return tokenizer(caption, padding="max_length", max_length=77, return_tensors="pt").input_ids

    def told_sd(self, pipe, caption):
        return {"encoder_hidden_states": pipe.text_encoder(self.ids(pipe.tokenizer, caption))[0]}

    def told_xl(self, pipe, caption):
        first = pipe.text_encoder(self.ids(pipe.tokenizer, caption), output_hidden_states=True)
        second = pipe.text_encoder_2(self.ids(pipe.tokenizer_2, caption), output_hidden_states=True)
        sizes = [HEIGHT, WIDTH, 0, (WIDTH - SIDE) // 2, SIDE, SIDE]
        return {"encoder_hidden_states": torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1),
                "added_cond_kwargs": {"text_embeds": second.text_embeds, "time_ids": torch.tensor([sizes], dtype=torch.float32)}}

    def cached_latents(self, cache):
        """The latent of every picture of PanGu-Draw 3 as the program made it, and the index of its size."""
        latents, items = load_file(next(cache.glob("*/latents-*.safetensors"))), []
        for i in range(len(CAPTIONS)):
            bytes_of = hashlib.sha256((self.folder / f"pictures/{i}.png").read_bytes()).hexdigest()
            latent = next(value for key, value in latents.items() if key.endswith(f" {bytes_of}"))
            items.append((latent, SMALL_SIZES.index((8 * latent.shape[2], 8 * latent.shape[1]))))
        return items

    def cached_pangu(self, cache):
        """Latents and text states of PanGu-Draw 3 as the program made them: its encoders are compared with their own
        references."""
        captions, items = load_file(next(cache.glob("*/captions-*.safetensors"))), []
        for caption, (latent, index) in zip(CAPTIONS, self.cached_latents(cache)):
            key = next(k for k in captions if k.endswith(hashlib.sha256(caption.encode()).hexdigest()))
            items.append((latent, {"encoder_hidden_states": captions[key][None], "added_cond_kwargs": {
                "text_embeds": captions[f"{key}, pooled"][None], "time_ids": torch.tensor([[float(index)]])}}))
        return items

    def check_against_pytorch(self, train, folder, reference_of, rate=RATE, steps=STEPS):
        """train(name, steps, rate) trains into a run of that name and folder(name) is where it works;
        reference_of(first) is the reference for the run of that name, which has done one step at a rate of 0."""
        train("first", 1, 0)
        reference = reference_of("first")
        moments = self.state(folder("first"), "m/")  # (1 - beta1) times the gradient
        wanted, names = reference.gradients(), []
        # A bias ahead of a norm of one channel a group moves nothing: what its gradient has is rounding.
        rounding = 1e-6 * max(want.norm() for want in wanted.values() if want is not None)
        for name, want in wanted.items():
            names.append(name)
            if want is None or want.norm() < rounding:
                self.assertLess(moments[name].norm() / 0.1, rounding, name)
            else:
                self.assertLess(relative(moments[name] / 0.1, want), CLOSE, name)
        self.assertEqual(sorted(names), sorted(moments))
        train("run", steps, rate)
        for name, parameter in reference.parameters():
            parameter.grad = None
        want = reference.train(steps, rate)
        got = self.losses(folder("run"))
        self.assertEqual(len(got), steps)
        for step, (a, b) in enumerate(zip(got, want)):
            self.assertLess(abs(a - b) / b, CLOSE, (step, got, want))
        self.assertLess(want[-1] / want[0], 5, "the training does not diverge")
