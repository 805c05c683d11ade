"""All weights of a foreign model's denoiser, and a ControlNet beside it, train as in PyTorch with the same pictures and
noise; what comes out opens in `draw` and diffusers; two halves of the timesteps become one time-decoupled model.

Usage: full_train_test.py PROGRAM. Skipped (77) without diffusers. Models are tiny, with random weights.
"""

import concurrent.futures
import json
import shutil
import unittest

from program import reference_imports, run_as_user

with reference_imports("tools/parity", "tools", "tests/e2e"):
    import numpy as np
    import torch
    from diffusers import ControlNetModel, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
    from PIL import Image
    from safetensors.torch import load_file
    import dump_coop
    import train_reference
    from pangu_reference import pair
    from training_case import CAPTIONS, HEIGHT, PANGU_BLOCKS, PANGU_STEPS, RATE, SIDE, STEPS, WIDTH, TrainingCase

# f32 sums in another order, through a few steps of a sampler, in bytes.
SAME, OTHER = 0.1, 1.0


class FullTraining(TrainingCase):
    def train(self, model, name, *flags, code=0, **settings):
        """Into the folder `name`; caption_dropout_rate is 0, so that every caption is known."""
        settings = {"resolution": SIDE, "enable_bucket": "false", "caption_dropout_rate": 0, "save_precision": '"float"',
                    **settings}
        return self.run_training(("--finetune", self.folder / model, "--data", self.folder / "pictures",
                                  "--out", self.folder / name, *flags), settings, code)

    def check(self, model, unet, bars, items, expert="denoiser", prediction="epsilon", times=(0, 1000), kind=None, flags=(),
              rate=RATE, batch=2, steps=STEPS, **settings):
        def reference_of(first):
            with torch.no_grad():
                data = items(self.folder / f"{model}_{first}")
            options = {"prediction": prediction, "batch": batch, "times": times}
            if kind:
                return kind(self.state(f"{model}_{first}/training/{expert}", "master/"), bars, data, options)
            return train_reference.FullTraining(unet, bars, data, **options)

        def train(name, steps, rate):
            shutil.rmtree(self.folder / f"{model}_{name}", ignore_errors=True)
            self.train(model, f"{model}_{name}", *flags, "--steps", str(steps), train_batch_size=batch,
                       learning_rate=rate, **settings)

        self.check_against_pytorch(train, lambda name: f"{model}_{name}/training/{expert}", reference_of, rate, steps)

    def drawn_by_diffusers(self, kind, folder, size=64, steps=3):
        self.assertTrue((self.folder / folder / "model_index.json").exists())
        pipe = kind.from_pretrained(self.folder / folder)
        pipe.save_pretrained(self.folder / "again")
        drawn = self.draw("again", size=size, steps=steps)
        shutil.rmtree(self.folder / "again")
        return drawn

    def test_sd15_trains_as_in_pytorch_and_opens_in_diffusers(self):
        pipe = StableDiffusionPipeline.from_pretrained(self.folder / "sd15")
        self.check("sd15", pipe.unet, pipe.scheduler.alphas_cumprod, lambda _: self.data(pipe, self.told_sd))
        drawn = self.draw("sd15_run")
        self.assertGreater(np.abs(drawn - self.draw("sd15")).mean(), OTHER)
        self.assertLess(np.abs(drawn - self.drawn_by_diffusers(StableDiffusionPipeline, "sd15_run")).mean(), SAME)
        trained = load_file(self.folder / "sd15_run/unet/diffusion_pytorch_model.safetensors")
        masters = self.state("sd15_run/training/denoiser", "master/")
        self.assertEqual(sorted(trained), sorted(masters))
        for name, value in masters.items():
            self.assertTrue(torch.equal(trained[name], value), name)

    def test_a_network_that_predicts_v_trains_as_in_pytorch(self):
        pipe = StableDiffusionPipeline.from_pretrained(self.folder / "predicts_v")
        self.check("predicts_v", pipe.unet, pipe.scheduler.alphas_cumprod, lambda _: self.data(pipe, self.told_sd),
                   prediction="v_prediction", gradient_checkpointing="false")

    def test_sdxl_trains_as_in_pytorch_and_opens_in_diffusers(self):
        pipe = StableDiffusionXLPipeline.from_pretrained(self.folder / "sdxl")
        self.check("sdxl", pipe.unet, pipe.scheduler.alphas_cumprod, lambda _: self.data(pipe, self.told_xl))
        drawn = self.draw("sdxl_run")
        self.assertGreater(np.abs(drawn - self.draw("sdxl")).mean(), OTHER)
        self.assertLess(np.abs(drawn - self.drawn_by_diffusers(StableDiffusionXLPipeline, "sdxl_run")).mean(), SAME)

    def test_both_experts_of_pangu_draw_3_train_as_in_pytorch_into_one_folder(self):
        pair.write_tiny_pair(self.folder / "pangu", blocks=PANGU_BLOCKS)
        converted = self.folder / "pangu_folder"
        self.assertEqual(run_as_user("convert", self.folder / "pangu", converted, "--dtype", "f32").returncode, 0)
        for expert, part, times in (("structure", "unet", (500, 1000)), ("texture", "unet_texture", (0, 500))):
            unet = UNet2DConditionModel.from_pretrained(converted, subfolder=part)
            # At the usual rate the loss falls to a tenth in these steps, and roundings grow as fast.
            self.check("pangu", unet, dump_coop.CLEAN().alphas_cumprod,
                       lambda folder: self.cached_pangu(folder / "training/cache"), expert=expert, times=times,
                       resolution=512, min_image_size=0, gradient_checkpointing="false", flags=("--expert", expert),
                       rate=RATE / 8, batch=1, steps=PANGU_STEPS)
        self.train("pangu", "pangu_both", "--steps", "1", resolution=512, learning_rate=0.01)
        index = json.loads((self.folder / "pangu_both/model_index.json").read_text())
        self.assertEqual((index["_class_name"], index["expert_boundary"]), ("PanGuDrawPipeline", 500))
        for part in ("unet", "unet_texture"):
            old, new = (load_file(folder / part / "diffusion_pytorch_model.safetensors")
                        for folder in (converted, self.folder / "pangu_both"))
            self.assertEqual(sorted(old), sorted(new))
            self.assertGreater((old["conv_in.weight"] - new["conv_in.weight"]).abs().max(), 1e-3, part)
        self.assertGreater(np.abs(self.draw("pangu_both", size=512) - self.draw("pangu", size=512)).mean(), OTHER)

    def test_two_halves_that_end_at_once_become_one_model(self):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for training in [pool.submit(self.train, "sdxl", "at_once", "--expert", expert, "--steps", "1", min_image_size=0)
                             for expert in ("structure", "texture")]:
                training.result()
        index = json.loads((self.folder / "at_once/model_index.json").read_text())
        self.assertEqual(index["expert_boundary"], 500)
        self.draw("at_once")

    def test_two_halves_of_one_checkpoint_become_a_time_decoupled_model(self):
        for first, second in (("structure", "texture"), ("texture", "structure")):
            with self.subTest(first=first):
                name = f"halves_{first}"
                # The boundary is said by both runs, and they must agree.
                said = {"structure": {"min_timestep": 400}, "texture": {"max_timestep": 400, "min_image_size": 0}}
                train = lambda expert, **more: self.train(  # noqa: E731
                    "sdxl", name, "--expert", expert, "--steps", "1", learning_rate=0.01, **said[expert], **more)
                train(first)
                index = json.loads((self.folder / name / "model_index.json").read_text())
                self.assertEqual(index["trained_timesteps"], [400, 1000] if first == "structure" else [0, 400])
                alone = load_file(self.folder / name / "unet/diffusion_pytorch_model.safetensors")
                said[second] = {key: 300 if value else 0 for key, value in said[second].items()}
                refused = train(second, code=2)
                self.assertIn("meets the other expert's", refused.stderr)
                said[second] = {key: 400 if value else 0 for key, value in said[second].items()}
                train(second)
                index = json.loads((self.folder / name / "model_index.json").read_text())
                self.assertEqual((index["_class_name"], index["expert_boundary"]), ("StableDiffusionXLPipeline", 400))
                self.assertNotIn("trained_timesteps", index)
                part = "unet" if first == "structure" else "unet_texture"
                kept = load_file(self.folder / name / part / "diffusion_pytorch_model.safetensors")
                for key, value in alone.items():
                    self.assertTrue(torch.equal(value, kept[key]), key)
                plan = run_as_user("draw", "a fox", "--model", self.folder / name, "--steps", "4", "--plan")
                self.assertEqual(plan.returncode, 0, plan.stderr)
                self.assertIn("structure", plan.stdout)
                self.assertIn("texture", plan.stdout)
                self.draw(name)
                StableDiffusionXLPipeline.from_pretrained(self.folder / name)
                # A half that goes on takes its own place.
                train(second, **{"max_train_steps": 2})
        for part in ("unet", "unet_texture"):
            one, other = (load_file(self.folder / f"halves_{first}" / part / "diffusion_pytorch_model.safetensors")
                          for first in ("structure", "texture"))
            self.assertEqual(sorted(one), sorted(other), part)

    def test_the_texture_half_trains_at_half_size_on_large_pictures(self):
        out, large = self.folder / "regimen.toml", self.folder / "trained_at_1024"
        shutil.copytree(self.folder / "sdxl", large)
        config = large / "unet/config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 128}))
        done = run_as_user("train", "--finetune", large, "--data", self.folder / "pictures", "--out",
                           self.folder / "regimen", "--expert", "texture", "--write-config", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = dict(line.split(" = ") for line in out.read_text().splitlines() if " = " in line)
        self.assertEqual((said["resolution"], said["min_image_size"], said["expert"]), ("512", "512", '"texture"'))

    def test_a_network_begins_from_random_weights_by_its_configuration(self):
        parts = self.folder / "parts"
        shutil.copytree(self.folder / "sdxl", parts)
        config = json.loads((parts / "unet/config.json").read_text()) | {"block_out_channels": [32, 64, 32]}
        shutil.rmtree(parts / "unet")
        (self.folder / "wide.json").write_text(json.dumps(config))
        (self.folder / "new.toml").write_text(f"""
network_config = "wide.json"
model_dir = "parts"
output_dir = "new"
train_data_dir = ["pictures"]
resolution = {SIDE}
train_batch_size = 2
max_train_steps = 3
mixed_precision = "no"
lr_warmup_steps = 0
log_every_n_steps = 1
loss_weighting = "none"
""")
        said = run_as_user("train", self.folder / "new.toml", "--dry-run")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertFalse((self.folder / "new").exists())
        done = run_as_user("train", self.folder / "new.toml", "-q")
        self.assertEqual(done.returncode, 0, done.stderr)
        losses = self.losses("new/training/denoiser")
        self.assertLess(abs(losses[0] - 1), 0.2, "the first prediction is 0, and the noise has a variance of 1")
        self.assertEqual(self.draw("new").shape, (64, 64, 3))
        unet = StableDiffusionXLPipeline.from_pretrained(self.folder / "new").unet
        self.assertEqual(list(unet.config.block_out_channels), [32, 64, 32])

    def test_a_controlnet_trains_as_in_pytorch_and_draws(self):
        controls = self.folder / "controls"
        controls.mkdir(exist_ok=True)
        draws = np.random.default_rng(8)
        for i in range(len(CAPTIONS)):
            Image.fromarray(draws.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(controls / f"{i}.png")
        for model, kind, told in (("sd15", StableDiffusionPipeline, self.told_sd), ("sdxl", StableDiffusionXLPipeline, self.told_xl)):
            with self.subTest(model=model):
                pipe = kind.from_pretrained(self.folder / model)

                def items(_, pipe=pipe, told=told):
                    data, left = self.data(pipe, told), (WIDTH - SIDE) // 2
                    for i, (_, said) in enumerate(data):
                        pixels = np.asarray(Image.open(controls / f"{i}.png"), dtype=np.float32)[:, left:left + SIDE] / 255
                        said["controlnet_cond"] = torch.from_numpy(pixels).permute(2, 0, 1)[None]
                    return data

                def beside(initial, bars, data, options, pipe=pipe):
                    control = ControlNetModel.from_unet(pipe.unet)
                    copied = {name: value.clone() for name, value in control.state_dict().items()}
                    self.assertEqual(sorted(copied), sorted(initial))
                    for name, value in copied.items():
                        # What reads the picture is random in both; all else is the UNet's, or 0.
                        if not name.startswith("controlnet_cond_embedding.") or name.startswith("controlnet_cond_embedding.conv_out"):
                            self.assertTrue(torch.equal(initial[name], value), name)
                    control.load_state_dict(initial)
                    return train_reference.ControlTraining(pipe.unet, control, bars, data, **options)

                out = f"{model}_run"
                self.check(model, pipe.unet, pipe.scheduler.alphas_cumprod, items, kind=beside,
                           flags=("--controlnet", "--conditioning-data", controls))
                ControlNetModel.from_pretrained(self.folder / out)
                alone = self.draw(model)
                drawn = self.draw(model, "--controlnet", self.folder / out, "--control-image", controls / "0.png")
                self.assertGreater(np.abs(drawn - alone).mean(), OTHER)

    def test_control_pictures_may_be_made_of_the_pictures(self):
        self.train("sd15", "edges", "--controlnet", "--control", "canny", "--steps", "2", learning_rate=0.01)
        ControlNetModel.from_pretrained(self.folder / "edges")
        said = self.train("sd15", "none", "--controlnet", code=2)
        self.assertIn("conditioning_data_dir", said.stderr)
        empty = self.folder / "no_controls"
        empty.mkdir()
        said = self.train("sd15", "missing", "--controlnet", "--conditioning-data", empty, code=2)
        self.assertIn("none for '0'", said.stderr)

    def test_regularisation_pictures_count_as_said(self):
        more = self.folder / "class"
        more.mkdir()
        Image.fromarray(np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)).save(more / "grey.png")
        (more / "grey.txt").write_text("a house")
        losses = {}
        for weight in (0, 0.5, 1):
            self.train("sd15", f"prior_{weight}", "--steps", "4", learning_rate=0, reg_data_dir=f'["{more}"]',
                       prior_loss_weight=weight)
            losses[weight] = self.losses(f"prior_{weight}/training/denoiser")
        # Of the four pictures of an epoch two are of the class, at the same noise each time.
        shown = [low == 0 for low in losses[0]]
        self.assertEqual(sum(shown), 2)
        for of_class, none, half, whole in zip(shown, losses[0], losses[0.5], losses[1]):
            self.assertAlmostEqual(half, whole / 2 if of_class else whole, places=6)
            self.assertAlmostEqual(none, 0 if of_class else whole, places=6)

    def test_sample_grids_are_what_the_model_draws(self):
        self.train("sd15", "sampled", "--steps", "2", learning_rate=0.01, sample_every_n_steps=1, seed=7,
                   sample_prompts=json.dumps([CAPTIONS[1]]))
        first, last = (np.asarray(Image.open(self.folder / f"sampled/training/denoiser/samples/step{step}.png").convert("RGB"),
                                  dtype=np.int32)[4:-4, 4:-4] for step in (1, 2))  # without the sheet's margin
        done = run_as_user("draw", CAPTIONS[1], "--model", self.folder / "sampled", "--size", SIDE, "--seed", 7, "--dtype", "f32",
                           "-q", "--out", self.folder / "drawn.png")
        self.assertEqual(done.returncode, 0, done.stderr)
        drawn = np.asarray(Image.open(self.folder / "drawn.png").convert("RGB"), dtype=np.int32)
        self.assertLess(np.abs(drawn - last).mean(), SAME)
        self.assertGreater(np.abs(drawn - first).mean(), OTHER)

    def test_a_run_goes_on_to_the_same_bits_and_saves_as_asked(self):
        self.train("sd15", "whole", "--steps", "4")
        self.train("sd15", "in_parts", "--steps", "2")
        self.train("sd15", "in_parts", "--steps", "4", save_precision='"fp16"')
        whole, parts = (load_file(self.folder / name / "unet/diffusion_pytorch_model.safetensors") for name in ("whole", "in_parts"))
        for key, value in whole.items():
            self.assertTrue(torch.equal(value.half(), parts[key]), key)
        said = self.train("sd15", "whole", "--steps", "5", "--expert", "structure", code=2)
        self.assertIn("meets the other expert's", said.stderr)


if __name__ == "__main__":
    unittest.main()
