"""A LoRA that `pangu-draw train --lora` makes is that of the usual training in PyTorch with the same pictures and noise,
and a file that diffusers and `draw` take for the same change.

Usage: lora_train_test.py PROGRAM. Skipped (77) without diffusers and peft. Models are tiny, with random weights.
"""

import hashlib
import json
import shutil
import unittest

from program import ROOT, reference_imports, run_as_user

with reference_imports("tools/parity", "tools", "tests/e2e"):
    import numpy as np
    import peft  # noqa: F401, by which diffusers loads LoRAs
    import torch
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
    from safetensors import safe_open
    from safetensors.torch import load_file
    import dump_coop
    import train_reference
    from pangu_reference import pair
    from training_case import PANGU_BLOCKS, PANGU_STEPS, SIDE, STEPS, Parts, TrainingCase

# f32 products in another order move a byte by one here and there; the changes move the picture by more than 1.
SAME, OTHER = 0.02, 1.0


class LoraTraining(TrainingCase):
    def train(self, model, name, *flags, code=0, **settings):
        settings = {"resolution": SIDE, "enable_bucket": "false", "network_alpha": 4, **settings}
        return self.run_training(("--lora", "--model", self.folder / model, "--data", self.folder / "pictures",
                                  "--out", self.folder / f"{name}.safetensors", "--rank", "8", *flags), settings, code)

    def check(self, model, pipe, told, data=None, run="", prediction="epsilon", times=(0, 1000), batch=2, steps=STEPS,
              **settings):
        def reference_of(first):
            with torch.no_grad():
                items = data() if data else self.data(pipe, told)
            initial = self.state(f"{model}_{first}{run}", "master/")
            return train_reference.LoraTraining(pipe.unet, pipe.scheduler.alphas_cumprod, items, initial, 4,
                                                prediction=prediction, batch=batch, times=times)

        self.check_against_pytorch(
            lambda name, count, rate: self.train(model, f"{model}_{name}", "--steps", str(count), train_batch_size=batch,
                                                 learning_rate=rate, **settings),
            lambda name: f"{model}_{name}{run}", reference_of, steps=steps)

    def test_sd15_trains_as_in_pytorch(self):
        pipe = StableDiffusionPipeline.from_pretrained(self.folder / "sd15")
        self.check("sd15", pipe, self.told_sd, conv_dim=8, conv_alpha=4)

    def test_a_network_that_predicts_v_trains_as_in_pytorch(self):
        pipe = StableDiffusionPipeline.from_pretrained(self.folder / "predicts_v")
        self.check("predicts_v", pipe, self.told_sd, prediction="v_prediction", gradient_checkpointing="false")

    def test_sdxl_trains_as_in_pytorch_with_pooled_text_sizes_and_crop(self):
        pipe = StableDiffusionXLPipeline.from_pretrained(self.folder / "sdxl")
        self.check("sdxl", pipe, self.told_xl)

    def test_an_expert_of_pangu_draw_3_trains_as_in_pytorch_with_the_index_of_the_size(self):
        pair.write_tiny_pair(self.folder / "pangu_files", blocks=PANGU_BLOCKS)
        converted = self.folder / "pangu_folder"
        self.assertEqual(run_as_user("convert", self.folder / "pangu_files", converted, "--dtype", "f32").returncode, 0)
        unet = UNet2DConditionModel.from_pretrained(converted, subfolder="unet")
        bars = dump_coop.CLEAN().alphas_cumprod

        self.check("pangu_files", Parts(unet, bars), None, times=(500, 1000), run="/structure",
                   data=lambda: self.cached_pangu(self.folder / "pangu_files_cache"),
                   batch=1, steps=PANGU_STEPS, resolution=512, expert='"structure"', gradient_checkpointing="false",
                   cache_dir=f'"{self.folder / "pangu_files_cache"}"')

    def test_the_file_is_one_change_for_draw_and_for_diffusers(self):
        for model, kind, base in (("sd15", StableDiffusionPipeline, "sd_v1"), ("sdxl", StableDiffusionXLPipeline, "sdxl_base_v1-0")):
            alone = self.draw(model)
            for layout in ("kohya", "diffusers"):
                with self.subTest(model=model, layout=layout):
                    name = f"{model}_{layout}"
                    self.train(model, name, "--steps", "3", learning_rate=0.02, conv_dim=4, lora_format=f'"{layout}"')
                    file = self.folder / f"{name}.safetensors"
                    drawn = self.draw(model, "--lora", file)
                    pipe = kind.from_pretrained(self.folder / model)
                    pipe.load_lora_weights(file)
                    pipe.fuse_lora()
                    pipe.unload_lora_weights()
                    pipe.save_pretrained(self.folder / "merged")
                    self.assertLess(np.abs(drawn - self.draw("merged")).mean(), SAME)
                    self.assertGreater(np.abs(drawn - alone).mean(), OTHER)
                    shutil.rmtree(self.folder / "merged")
                    with safe_open(file, "pt") as opened:
                        said = opened.metadata()
                    self.assertEqual((said["ss_network_dim"], said["ss_network_alpha"], said["ss_base_model_version"]),
                                     ("8", "4", base))
                    self.assertEqual(json.loads(said["ss_tag_frequency"])["pictures"]["in the snow"], 1)

    def test_a_run_goes_on_to_the_same_bits_and_tags_may_be_shuffled(self):
        options = {"shuffle_caption": "true", "keep_tokens": 1, "caption_dropout_rate": 0.3}
        self.train("sd15", "whole", "--steps", "4", **options)
        self.train("sd15", "parts", "--steps", "2", **options)
        said = self.train("sd15", "parts", "--steps", "4", **options)
        self.assertIn(f"--lora {self.folder / 'parts.safetensors'}", said.stdout)
        whole, parts = (load_file(self.folder / f"{name}.safetensors") for name in ("whole", "parts"))
        for key, value in whole.items():
            self.assertTrue(torch.equal(value, parts[key]), key)

    def test_each_expert_of_pangu_draw_3_has_a_lora_of_its_own(self):
        pair.write_tiny_pair(self.folder / "pangu", blocks=PANGU_BLOCKS)
        self.train("pangu", "both", "--steps", "2", resolution=512, learning_rate=0.02)
        files = {expert: self.folder / f"both_{expert}.safetensors" for expert in ("structure", "texture")}
        for expert, file in files.items():
            with safe_open(file, "pt") as opened:
                self.assertEqual(opened.metadata()["pangu_draw.expert"], expert)
        draw = lambda *loras: self.draw("pangu", *[word for lora in loras for word in ("--lora", lora)], size=512, steps=4)  # noqa: E731
        alone, both = draw(), draw(*files.values())
        only = {expert: draw(file) for expert, file in files.items()}
        for one, other in ((alone, both), (alone, only["structure"]), (alone, only["texture"]), (only["structure"], both)):
            self.assertGreater(np.abs(one - other).max(), 0)
        # The path says it over the file, which is then for the other one.
        swapped = draw(f"{files['structure']}@texture")
        self.assertGreater(np.abs(swapped - only["structure"]).max(), 0)
        said = run_as_user("draw", "a", "--model", self.folder / "sd15", "--lora", f"{files['structure']}@texture")
        self.assertEqual(said.returncode, 2)
        self.assertIn("one denoiser", said.stderr)

    def test_experts_of_different_widths_have_loras_of_their_own_widths(self):
        mini = ROOT / "models/mini"
        self.train(mini, "narrow_and_wide", "--steps", "1", resolution=128)
        files = [self.folder / f"narrow_and_wide_{expert}.safetensors" for expert in ("structure", "texture")]
        self.assertEqual(self.draw(mini, "--lora", files[0], "--lora", files[1], size=128).shape, (128, 128, 3))

    def test_a_part_of_the_pictures_is_kept_back_for_validation(self):
        sha = lambda data: hashlib.sha256(data).hexdigest()  # noqa: E731
        places = [int(sha(sha((self.folder / f"pictures/{i}.png").read_bytes()).encode())[:8], 16) / 2**32 for i in range(2)]
        self.train("sd15", "validated", "--steps", "4", learning_rate=0.01, sample_every_n_steps=2, validation_split=sum(places) / 2)
        lines = [json.loads(line) for line in (self.folder / "validated/validation.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines], [0, 2, 4])
        self.assertEqual(list(lines[0]["loss_by_t"]), ["100", "300", "500", "700", "900"])
        self.assertEqual(len({line["loss"] for line in lines}), 3)
        self.assertTrue((self.folder / "validated-00000002.safetensors").exists())
        said = self.train("sd15", "unvalidated", validation_split=1e-9, code=2)
        self.assertIn("validation_split", said.stderr)

    def test_what_cannot_be_trained_is_refused(self):
        said = self.train("sd15", "bad", target_modules='["to_z"]', code=2)
        self.assertIn("to_z", said.stderr)
        done = run_as_user("train", "--lora", "--model", self.folder / "sd15", "--data", self.folder / "pictures",
                           "--out", self.folder / "folder")
        self.assertEqual(done.returncode, 2)
        self.assertIn(".safetensors", done.stderr)


if __name__ == "__main__":
    unittest.main()
