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
    from PIL import Image
    from transformers import CLIPTextModel, CLIPTextModelWithProjection
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
    import dump_coop
    import train_reference
    from pangu_reference import networks, pair, sampling
    from training_case import CAPTIONS, PANGU_BLOCKS, PANGU_STEPS, PANGU_TEXT_STEPS, SIDE, STEPS, Parts, TrainingCase

# kohya's prefixes, and the parts of a pipeline that they are for.
TEXT = {"sd15": {"lora_te_": "text_encoder"}, "sdxl": {"lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2"}}
TEXT_LAYERS = 2 * 6 * 3  # query, key, value, output and both halves of the perceptron of three layers, down and up

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

    def check_text(self, model, kind, told, alone=False, factor=1, **settings):
        pipe = kind.from_pretrained(self.folder / model)
        run = f"{model}_text{'_alone' if alone else ''}"
        settings |= {"network_train_text_encoder_only": "true"} if alone else {"network_train_unet_only": "false"}

        def reference_of(first):
            with torch.no_grad():
                latents = [latent for latent, _ in self.data(pipe, told)]
            data = [(latent, lambda caption=caption: told(pipe, caption)) for latent, caption in zip(latents, CAPTIONS)]
            encoders = {prefix: getattr(pipe, part) for prefix, part in TEXT[model].items()}
            initial = self.state(f"{run}_{first}", "master/")
            self.assertEqual(any(name.startswith("lora_unet_") for name in initial), not alone)
            for prefix in encoders:
                self.assertEqual(sum(name.startswith(prefix) for name in initial), TEXT_LAYERS, prefix)
            return train_reference.TextLoraTraining(pipe.unet, encoders, pipe.scheduler.alphas_cumprod, data, initial, 4,
                                                    text_factor=factor, batch=2)

        def train(name, steps, rate):
            rates = {"text_encoder_lr": factor * rate} if rate and factor != 1 else {}
            self.train(model, f"{run}_{name}", "--steps", str(steps), train_batch_size=2, learning_rate=rate, **rates, **settings)

        self.check_against_pytorch(train, lambda name: f"{run}_{name}", reference_of)

    def test_the_text_encoder_of_sd15_trains_along_as_in_pytorch_at_a_rate_of_its_own(self):
        self.check_text("sd15", StableDiffusionPipeline, self.told_sd, factor=0.5)

    def test_the_text_encoder_of_sd15_trains_alone_as_in_pytorch(self):
        self.check_text("sd15", StableDiffusionPipeline, self.told_sd, alone=True, gradient_checkpointing="false")

    def test_both_text_encoders_of_sdxl_train_along_as_in_pytorch(self):
        self.check_text("sdxl", StableDiffusionXLPipeline, self.told_xl)

    def pangu_folder(self, name):
        """Writes a tiny pair, and returns its encoders as transformers has them, with the folder that `convert` makes of it."""
        pair.write_tiny_pair(self.folder / name, blocks=PANGU_BLOCKS)
        folder = self.folder / f"{name}_folder"
        self.assertEqual(run_as_user("convert", self.folder / name, folder, "--dtype", "f32").returncode, 0)
        kinds = {"lora_te1_": (CLIPTextModel, "text_encoder"), "lora_te2_": (CLIPTextModelWithProjection, "text_encoder_2")}
        return {prefix: kind.from_pretrained(folder, subfolder=part) for prefix, (kind, part) in kinds.items()}, folder

    @staticmethod
    def read_as_pangu(encoders, prompts):
        """Token states side by side and the pooled text, as PanGu-Draw 3 reads prompts."""
        chinese, western = (torch.tensor([ids(prompt) for prompt in prompts]) for ids in pair.tokenizers())
        first = encoders["lora_te1_"](chinese).last_hidden_state
        second = encoders["lora_te2_"](western, output_hidden_states=True)
        return torch.cat([first, second.hidden_states[-2]], 2), second.text_embeds

    def test_both_text_encoders_of_an_expert_of_pangu_draw_3_train_along_as_in_pytorch(self):
        encoders, folder = self.pangu_folder("pangu_words")
        unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
        cache = self.folder / "pangu_words_cache"

        def told(caption, index):
            context, pooled = self.read_as_pangu(encoders, [caption])
            return {"encoder_hidden_states": context,
                    "added_cond_kwargs": {"text_embeds": pooled, "time_ids": torch.tensor([[float(index)]])}}

        def reference_of(first):
            initial = self.state(f"pangu_words_{first}/structure", "master/")
            for prefix in encoders:
                self.assertEqual(sum(name.startswith(prefix) for name in initial), TEXT_LAYERS, prefix)
            data = [(latent, lambda caption=caption, index=index: told(caption, index))
                    for caption, (latent, index) in zip(CAPTIONS, self.cached_latents(cache))]
            return train_reference.TextLoraTraining(unet, encoders, dump_coop.CLEAN().alphas_cumprod, data, initial, 4, batch=1,
                                                    times=(500, 1000))

        self.check_against_pytorch(
            lambda name, count, rate: self.train("pangu_words", f"pangu_words_{name}", "--steps", str(count), learning_rate=rate,
                                                 train_batch_size=1, resolution=512, expert='"structure"', cache_dir=f'"{cache}"',
                                                 network_train_unet_only="false"),
            lambda name: f"pangu_words_{name}/structure", reference_of, steps=PANGU_TEXT_STEPS)

    def test_each_expert_of_pangu_draw_3_reads_prompts_by_the_text_encoders_of_its_own_file(self):
        encoders, _ = self.pangu_folder("pangu_read")
        files = {}
        for layout in ("kohya", "diffusers"):
            name = f"read_{layout}"
            self.train("pangu_read", name, "--steps", "1", resolution=512, learning_rate=0.05, lora_format=f'"{layout}"',
                       network_train_text_encoder_only="true", cache_dir=f'"{self.folder / "read_cache"}"',
                       expert='"all"' if layout == "kohya" else '"structure"')
            for expert in ("structure", "texture") if layout == "kohya" else ("structure",):
                files[layout, expert] = self.folder / f"{name}_{expert}.safetensors"
        own = {}  # what each expert is told: the negative prompt's and the prompt's states
        for expert, part in (("structure", "high"), ("texture", "low")):
            changes = load_file(files["kohya", expert])
            self.assertEqual({name.split("_text_model")[0] for name in changes}, {"lora_te1", "lora_te2"})
            own[part] = self.told_with(encoders, changes)
        size, steps = 256, 4
        draw = lambda count, *loras: self.draw("pangu_read", *[word for lora in loras for word in ("--lora", lora)],  # noqa: E731
                                               "--guidance", "2", "--sampler", "euler", size=f"{size}x{4 * size}", steps=count)
        both = draw(steps, files["kohya", "structure"], files["kohya", "texture"])
        low, high = pair.open_pair(self.folder / "pangu_read")
        with torch.no_grad():
            wanted = sampling.draw(low, high, pair.tokenizers(), CAPTIONS[0], guidance=2.0, steps=steps, width=size, height=4 * size,
                                   seed=5, told=own)
        self.assertIn("low", wanted["experts"])
        self.assertLess(np.abs(both - wanted["bytes"]).mean(), SAME)
        # One step is the structure expert's alone.
        alone, structure = draw(1), draw(1, files["kohya", "structure"])
        self.assertGreater(np.abs(structure - alone).mean(), OTHER)
        np.testing.assert_array_equal(draw(1, files["kohya", "texture"]), alone)
        np.testing.assert_array_equal(draw(1, f"{files['kohya', 'structure']}@texture"), alone)
        self.assertLess(np.abs(draw(1, files["diffusers", "structure"]) - structure).mean(), SAME)

    def told_with(self, encoders, changes):
        """Context and the vector y of "" and of the first caption, by encoders with kohya's changes merged in."""
        kept = {}
        for prefix, encoder in encoders.items():
            kept[prefix] = {name: value.clone() for name, value in encoder.state_dict().items()}
            for path, layer in encoder.named_modules():
                name = prefix + (path if path.startswith("text_model.") else "text_model." + path).replace(".", "_")
                if f"{name}.alpha" in changes:
                    down, up, alpha = (changes.pop(f"{name}.{part}") for part in ("lora_down.weight", "lora_up.weight", "alpha"))
                    layer.weight.data += alpha / down.shape[0] * up @ down
        self.assertEqual(list(changes), [], "every change has its layer")
        with torch.no_grad():
            context, pooled = self.read_as_pangu(encoders, ["", CAPTIONS[0]])
        for prefix, encoder in encoders.items():
            encoder.load_state_dict(kept[prefix])
        return context, torch.cat([pooled, networks.sinusoid(torch.zeros(2), 256)], 1)  # the first size's index

    def for_diffusers(self, model, file, pipe):
        """The file in the names that diffusers finds: with transformers 5, where some encoders have no "text_model." inside,
        it does not find those that every trainer writes."""
        tensors = load_file(file)
        for prefix, part in TEXT[model].items():
            if any(name.startswith("text_model.") for name, _ in getattr(pipe, part).named_modules()):
                continue
            for long, short in ((f"{prefix}text_model_", prefix), (f"{part}.text_model.", f"{part}.")):
                tensors = {short + name.removeprefix(long) if name.startswith(long) else name: value
                           for name, value in tensors.items()}
        save_file(tensors, self.folder / "for_diffusers.safetensors")
        return self.folder / "for_diffusers.safetensors"

    def test_a_file_with_text_encoders_is_one_change_for_draw_and_for_diffusers(self):
        for model, kind in (("sd15", StableDiffusionPipeline), ("sdxl", StableDiffusionXLPipeline)):
            alone = self.draw(model)
            for layout in ("kohya", "diffusers"):
                with self.subTest(model=model, layout=layout):
                    name = f"{model}_text_{layout}"
                    self.train(model, name, "--steps", "3", learning_rate=0.02, lora_format=f'"{layout}"',
                               network_train_text_encoder_only="true", text_encoder_lr=0.04)
                    file = self.folder / f"{name}.safetensors"
                    begins = tuple(TEXT[model] if layout == "kohya" else (f"{part}." for part in TEXT[model].values()))
                    names = list(load_file(file))
                    self.assertTrue(all(key.startswith(begins) for key in names), names[:3])
                    for one in begins:
                        self.assertTrue(any(key.startswith(one) for key in names), one)
                    drawn = self.draw(model, "--lora", file)
                    pipe = kind.from_pretrained(self.folder / model)
                    pipe.load_lora_weights(self.for_diffusers(model, file, pipe))
                    pipe.fuse_lora()
                    pipe.unload_lora_weights()
                    pipe.save_pretrained(self.folder / "merged")
                    self.assertLess(np.abs(drawn - self.draw("merged")).mean(), SAME)
                    self.assertGreater(np.abs(drawn - alone).max(), OTHER)
                    shutil.rmtree(self.folder / "merged")
                    with safe_open(file, "pt") as opened:
                        said = opened.metadata()
                    self.assertEqual((said["ss_unet_lr"], said["ss_text_encoder_lr"]), ("None", "0.04"))

    def test_samples_are_drawn_by_the_text_encoder_that_is_trained(self):
        self.train("sd15", "sampled", "--steps", "2", learning_rate=0.05, network_train_text_encoder_only="true",
                   sample_every_n_steps=1, seed=7, sample_prompts=json.dumps([CAPTIONS[1]]), validation_split=0)
        first, last = (np.asarray(Image.open(self.folder / f"sampled/samples/step{step}.png").convert("RGB"),
                                  dtype=np.int32)[4:-4, 4:-4] for step in (1, 2))  # without the sheet's margin
        done = run_as_user("draw", CAPTIONS[1], "--model", self.folder / "sd15", "--lora", self.folder / "sampled.safetensors",
                           "--size", SIDE, "--seed", 7, "--dtype", "f32", "-q", "--out", self.folder / "drawn.png")
        self.assertEqual(done.returncode, 0, done.stderr)
        drawn = np.asarray(Image.open(self.folder / "drawn.png").convert("RGB"), dtype=np.int32)
        # The change is merged here and beside the product there, through 25 steps.
        self.assertLess(np.abs(drawn - last).mean(), 0.3)
        self.assertGreater(np.abs(first - last).max(), OTHER)

    def test_captions_that_are_left_out_and_a_stopped_run_are_those_of_other_loras(self):
        options = {"network_train_unet_only": "false", "caption_dropout_rate": 0.5}
        self.train("sdxl", "text_whole", "--steps", "4", **options)
        self.train("sdxl", "text_parts", "--steps", "2", **options)
        self.train("sdxl", "text_parts", "--steps", "4", **options)
        whole, parts = (load_file(self.folder / f"text_{name}.safetensors") for name in ("whole", "parts"))
        for key, value in whole.items():
            self.assertTrue(torch.equal(value, parts[key]), key)
        # Nothing is learnt from no words: SDXL gets zeros, whatever its encoders are.
        self.train("sdxl", "no_words", "--steps", "1", caption_dropout_rate=1, network_train_text_encoder_only="true",
                   learning_rate=0.02, adam_weight_decay=0)
        for key, value in load_file(self.folder / "no_words.safetensors").items():
            if key.endswith("lora_up.weight"):
                self.assertEqual(float(value.abs().max()), 0, key)

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

    def test_text_encoders_that_are_not_clips_are_refused(self):
        for model in ("mini", "low"):
            said = self.train(ROOT / "models" / model, "refused_text", resolution=128, network_train_unet_only="false", code=2)
            self.assertIn("text encoders to train: expected CLIP's", said.stderr)
        said = self.train("sd15", "refused_rate", text_encoder_lr=1e-4, code=2)
        self.assertIn("network_train_unet_only", said.stderr)

    def test_what_cannot_be_trained_is_refused(self):
        said = self.train("sd15", "bad", target_modules='["to_z"]', code=2)
        self.assertIn("to_z", said.stderr)
        done = run_as_user("train", "--lora", "--model", self.folder / "sd15", "--data", self.folder / "pictures",
                           "--out", self.folder / "folder")
        self.assertEqual(done.returncode, 2)
        self.assertIn(".safetensors", done.stderr)


if __name__ == "__main__":
    unittest.main()
