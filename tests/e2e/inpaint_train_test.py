"""Inpainting models, their LoRAs, and models that draw from text and become inpainting models train as in PyTorch with the
same pictures, noise and masks; what comes out draws in `draw --mask` and opens in diffusers' inpainting pipelines.

Usage: inpaint_train_test.py PROGRAM. Skipped (77) without diffusers. Models are tiny, with random weights.
"""

import hashlib
import json
import shutil
import unittest

from program import ROOT, reference_imports, run_as_user

with reference_imports("tools/parity", "tools", "tests/e2e"):
    import numpy as np
    import torch
    from diffusers import (StableDiffusionInpaintPipeline, StableDiffusionPipeline, StableDiffusionXLInpaintPipeline,
                           StableDiffusionXLPipeline, UNet2DConditionModel)
    from PIL import Image
    from safetensors.torch import load_file
    import picture_models as tiny
    import train_reference
    from training_case import CAPTIONS, HEIGHT, RATE, SIDE, WIDTH, TrainingCase

# f32 sums in another order, through a few steps of a sampler, in bytes.
SAME, OTHER = 0.1, 1.0
LATENT = 4  # channels


def widened(unet):
    """The UNet with input channels for masks whose weights are 0, as the published inpainting models began."""
    wide = UNet2DConditionModel.from_config({**unet.config, "in_channels": 2 * LATENT + 1})
    weights = dict(unet.state_dict())
    weights["conv_in.weight"] = torch.nn.functional.pad(weights["conv_in.weight"], (0, 0, 0, 0, 0, LATENT + 1))
    wide.load_state_dict(weights)
    return wide


class InpaintTraining(TrainingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        torch.manual_seed(6)
        pipe = StableDiffusionPipeline.from_pretrained(cls.folder / "sd15")
        parts = {**pipe.components, "unet": tiny.unet_sd(in_channels=9)}
        tiny.quiet(StableDiffusionInpaintPipeline, **parts).save_pretrained(cls.folder / "sd15_inpaint")
        pipe = StableDiffusionXLPipeline.from_pretrained(cls.folder / "sdxl")
        parts = {**pipe.components, "unet": tiny.unet_xl(64, 6, 64 + 96, levels=3, in_channels=9), "add_watermarker": False}
        StableDiffusionXLInpaintPipeline(**parts).save_pretrained(cls.folder / "sdxl_inpaint")
        # Of the pictures' own size; what is trained on is its middle.
        cls.masks = cls.folder / "masks"
        cls.masks.mkdir()
        for i, box in enumerate(((30, 10, 70, 40), (0, 33, 50, 64))):
            mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
            mask[box[1]:box[3], box[0]:box[2]] = 255
            Image.fromarray(mask).save(cls.masks / f"{i}.png")
        Image.new("RGB", (SIDE, SIDE), (200, 120, 40)).save(cls.folder / "start.png")
        Image.fromarray(np.pad(np.full((SIDE, SIDE // 2), 255, np.uint8), ((0, 0), (0, SIDE // 2)))).save(cls.folder / "half.png")

    def train(self, model, name, *flags, code=0, **settings):
        """All weights into the folder `name`."""
        settings = {"resolution": SIDE, "enable_bucket": "false", "caption_dropout_rate": 0, "save_precision": '"float"', **settings}
        return self.run_training(("--finetune", self.folder / model, "--data", self.folder / "pictures",
                                  "--out", self.folder / name, *flags), settings, code)

    def train_lora(self, model, name, *flags, code=0, **settings):
        settings = {"resolution": SIDE, "enable_bucket": "false", "network_alpha": 4, **settings}
        return self.run_training(("--lora", "--model", self.folder / model, "--data", self.folder / "pictures",
                                  "--out", self.folder / f"{name}.safetensors", "--rank", "8", *flags), settings, code)

    def with_masks(self, training, pipe, *arguments):
        """The reference training, told of masks of the same pictures."""
        pixels = [self.pixels(i) for i in range(len(CAPTIONS))]
        return training.tell_masks(pixels, lambda masked: self.encoded(pipe, masked), *arguments)

    def check(self, model, pipe, told, unet=None, own=None, whole=0.25, **settings):
        """Trains all weights beside PyTorch, into the folder `model`_run."""
        def reference_of(_):
            with torch.no_grad():
                data = self.data(pipe, told)
            training = train_reference.MaskedFullTraining(unet or pipe.unet, pipe.scheduler.alphas_cumprod, data, batch=2)
            return self.with_masks(training, pipe, whole, own)

        def train(name, steps, rate):
            shutil.rmtree(self.folder / f"{model}_{name}", ignore_errors=True)
            self.train(model, f"{model}_{name}", "--steps", str(steps), train_batch_size=2, learning_rate=rate, **settings)

        self.check_against_pytorch(train, lambda name: f"{model}_{name}/training/denoiser", reference_of)

    def filled(self, model, *flags, mask="half.png"):
        """The start picture, its left half drawn by the model; what is outside of the mask is drawn as well."""
        return self.draw(model, "--init-image", self.folder / "start.png", "--mask", self.folder / mask, "--strength", "1", *flags)

    def opened_by_diffusers(self, kind, folder):
        """That the folder is one of diffusers' inpainting pipelines, which draws from it and writes the same model."""
        index = json.loads((self.folder / folder / "model_index.json").read_text())
        self.assertEqual(index["_class_name"], kind.__name__)
        pipe = kind.from_pretrained(self.folder / folder)
        self.assertEqual(pipe.unet.config.in_channels, 2 * LATENT + 1)
        pipe.set_progress_bar_config(disable=True)
        start, mask = (Image.open(self.folder / name) for name in ("start.png", "half.png"))
        drawn = pipe(CAPTIONS[0], image=start.convert("RGB"), mask_image=mask, height=SIDE, width=SIDE, strength=1.0,
                     num_inference_steps=2, output_type="np", generator=torch.manual_seed(1)).images[0]
        self.assertEqual(drawn.shape, (SIDE, SIDE, 3))
        self.assertTrue(np.isfinite(drawn).all())
        pipe.save_pretrained(self.folder / "again")
        ours = self.filled("again")
        shutil.rmtree(self.folder / "again")
        return ours

    def test_an_inpainting_model_trains_as_in_pytorch_and_opens_in_diffusers(self):
        pipe = StableDiffusionInpaintPipeline.from_pretrained(self.folder / "sd15_inpaint")
        self.check("sd15_inpaint", pipe, self.told_sd)
        drawn = self.filled("sd15_inpaint_run")
        self.assertGreater(np.abs(drawn - self.filled("sd15_inpaint"))[:, :SIDE // 2].mean(), OTHER)
        self.assertLess(np.abs(drawn - self.opened_by_diffusers(StableDiffusionInpaintPipeline, "sd15_inpaint_run")).mean(), SAME)

    def test_sdxl_inpainting_trains_as_in_pytorch_and_opens_in_diffusers(self):
        pipe = StableDiffusionXLInpaintPipeline.from_pretrained(self.folder / "sdxl_inpaint")
        self.check("sdxl_inpaint", pipe, self.told_xl)
        drawn = self.filled("sdxl_inpaint_run")
        self.assertGreater(np.abs(drawn - self.filled("sdxl_inpaint"))[:, :SIDE // 2].mean(), OTHER)
        self.assertLess(np.abs(drawn - self.opened_by_diffusers(StableDiffusionXLInpaintPipeline, "sdxl_inpaint_run")).mean(), SAME)

    def test_a_lora_of_an_inpainting_model_trains_as_in_pytorch_and_draws(self):
        pipe = StableDiffusionInpaintPipeline.from_pretrained(self.folder / "sd15_inpaint")

        def reference_of(first):
            with torch.no_grad():
                data = self.data(pipe, self.told_sd)
            initial = self.state(f"lora_{first}", "master/")
            training = train_reference.MaskedLoraTraining(pipe.unet, pipe.scheduler.alphas_cumprod, data, initial, 4, batch=2)
            return self.with_masks(training, pipe)

        self.check_against_pytorch(
            lambda name, steps, rate: self.train_lora("sd15_inpaint", f"lora_{name}", "--steps", str(steps), train_batch_size=2,
                                                      learning_rate=rate),
            lambda name: f"lora_{name}", reference_of)
        self.train_lora("sd15_inpaint", "strong", "--steps", "3", learning_rate=0.02)
        changed = self.filled("sd15_inpaint", "--lora", self.folder / "strong.safetensors")
        self.assertGreater(np.abs(changed - self.filled("sd15_inpaint"))[:, :SIDE // 2].mean(), OTHER)

    def test_a_model_that_draws_from_text_becomes_an_inpainting_model_as_in_pytorch(self):
        for model, plain, kind, told in (("sd15", StableDiffusionPipeline, StableDiffusionInpaintPipeline, self.told_sd),
                                         ("sdxl", StableDiffusionXLPipeline, StableDiffusionXLInpaintPipeline, self.told_xl)):
            with self.subTest(model=model):
                pipe = plain.from_pretrained(self.folder / model)
                self.check(model, pipe, told, unet=widened(pipe.unet), inpainting="true")
                # At a rate of 0 it is the model that it was, and channels that say nothing.
                first = load_file(self.folder / f"{model}_first/unet/diffusion_pytorch_model.safetensors")
                for name, value in widened(plain.from_pretrained(self.folder / model).unet).state_dict().items():
                    self.assertTrue(torch.equal(first[name], value), name)
                trained = load_file(self.folder / f"{model}_run/unet/diffusion_pytorch_model.safetensors")
                self.assertGreater(trained["conv_in.weight"][:, LATENT:].abs().max(), RATE / 10)
                drawn = self.filled(f"{model}_run")
                self.assertLess(np.abs(drawn - self.opened_by_diffusers(kind, f"{model}_run")).mean(), SAME)

    def test_masks_may_be_the_pictures_own(self):
        left = (WIDTH - SIDE) // 2
        own = [(np.asarray(Image.open(self.masks / f"{i}.png"))[:, left:left + SIDE] >= 128).astype(np.uint8) for i in range(2)]
        pipe = StableDiffusionInpaintPipeline.from_pretrained(self.folder / "sd15_inpaint")
        # The own masks alone, then with some of all.
        for whole in (0, 0.5):
            with self.subTest(whole=whole):
                unet = UNet2DConditionModel.from_pretrained(self.folder / "sd15_inpaint", subfolder="unet")
                self.check("sd15_inpaint", pipe, self.told_sd, unet=unet, own=own, whole=whole, whole_mask_probability=whole,
                           mask_data_dir=f'["{self.masks}"]')
        few = self.folder / "few_masks"
        few.mkdir()
        shutil.copy(self.masks / "1.png", few)
        said = self.train("sd15_inpaint", "few", mask_data_dir=f'["{few}"]', code=2)
        self.assertIn("none for '0'", said.stderr)

    def test_other_masks_are_another_course(self):
        changed = self.folder / "changed_masks"
        shutil.copytree(self.masks, changed)
        self.train("sd15_inpaint", "course", "--steps", "2", mask_data_dir=f'["{self.masks}"]')
        Image.new("L", (WIDTH, HEIGHT), 255).save(changed / "0.png")
        said = self.train("sd15_inpaint", "course", "--steps", "3", mask_data_dir=f'["{changed}"]', code=2)
        self.assertIn("conditioning", said.stderr)

    def test_a_run_goes_on_to_the_same_bits(self):
        for name, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
            self.train("sd15", name, "--steps", str(steps), inpainting="true", learning_rate=0.01)
        whole, parts = (load_file(self.folder / name / "unet/diffusion_pytorch_model.safetensors") for name in ("whole", "parts"))
        for key, value in whole.items():
            self.assertTrue(torch.equal(value, parts[key]), key)

    def test_two_processes_learn_what_one_learns(self):
        shown = {"train_batch_size": 2, "learning_rate": 1e-3}
        self.train("sd15_inpaint", "alone", "--steps", "4", **shown)
        self.train("sd15_inpaint", "shared", "--nproc", "2", "--steps", "4", **shown)
        for alone, shared in zip(self.losses("alone/training/denoiser"), self.losses("shared/training/denoiser"), strict=True):
            self.assertLess(abs(alone - shared) / alone, 1e-4)  # sums of slices in another order

    def test_sample_grids_are_drawn_with_all_of_the_picture_masked(self):
        self.train("sd15_inpaint", "sampled", "--steps", "1", learning_rate=0.01, sample_every_n_steps=1, seed=7,
                   sample_prompts=json.dumps([CAPTIONS[1]]))
        sample = np.asarray(Image.open(self.folder / "sampled/training/denoiser/samples/step1.png").convert("RGB"), dtype=np.int32)
        Image.new("RGB", (SIDE, SIDE), "white").save(self.folder / "all.png")
        done = run_as_user("draw", CAPTIONS[1], "--model", self.folder / "sampled", "--size", SIDE, "--seed", 7, "--dtype", "f32",
                           "--init-image", self.folder / "start.png", "--mask", self.folder / "all.png", "--strength", "1", "-q",
                           "--out", self.folder / "drawn.png")
        self.assertEqual(done.returncode, 0, done.stderr)
        drawn = np.asarray(Image.open(self.folder / "drawn.png").convert("RGB"), dtype=np.int32)
        self.assertLess(np.abs(drawn - sample[4:-4, 4:-4]).mean(), SAME)  # without the sheet's margin

    def test_pictures_that_are_kept_back_are_validated_with_masks(self):
        # The share that parts the two pictures, whose places are by the hashes of their contents.
        sha = lambda data: hashlib.sha256(data).hexdigest()  # noqa: E731
        places = [int(sha(sha((self.folder / f"pictures/{i}.png").read_bytes()).encode())[:8], 16) / 2**32 for i in range(2)]
        self.train_lora("sd15_inpaint", "validated", "--steps", "2", validation_split=sum(places) / 2, sample_every_n_steps=1,
                        learning_rate=0.01)
        lines = [json.loads(line) for line in (self.folder / "validated/validation.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines], [0, 1, 2])
        self.assertEqual(len({line["loss"] for line in lines}), 3)

    def test_a_dry_run_writes_nothing(self):
        done = self.train("sd15", "dry", "--dry-run", inpainting="true")
        self.assertIn("all is fine", done.stdout)
        self.assertFalse((self.folder / "dry").exists())

    def test_what_cannot_be_trained_is_refused(self):
        said = self.train("sd15", "refused", mask_data_dir=f'["{self.masks}"]', code=2)
        self.assertIn("inpainting = true", said.stderr)
        said = self.train("sd15_inpaint", "refused", latent_crop=4, code=2)
        self.assertIn("latent_crop", said.stderr)
        said = self.train("sd15_inpaint", "refused", resolution=SIDE + 4, code=2)
        self.assertIn("a multiple of 8", said.stderr)
        said = self.train("sd15_inpaint", "refused", "--controlnet", "--control", "canny", code=2)
        self.assertIn("an inpainting model", said.stderr)
        said = self.train_lora("sd15", "refused", inpainting="true", code=2)
        self.assertIn("network_module", said.stderr)
        said = self.train(ROOT / "models/mini", "refused", resolution=128, inpainting="true", code=2)
        self.assertIn("another family than our own", said.stderr)
        # A model that lies where the new one would be written is left alone.
        taken = self.folder / "taken"
        shutil.copytree(self.folder / "sd15", taken)
        said = self.train("sd15_inpaint", "taken", code=2)
        self.assertIn("one with other files", said.stderr)
        said = self.train("sd15", "taken", inpainting="true", code=2)
        self.assertIn("one with other files", said.stderr)
        self.assertFalse((taken / "training").exists())


if __name__ == "__main__":
    unittest.main()
