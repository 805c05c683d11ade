"""Trains tiny networks through the built program: kills, stops, moves between folders, shards.

Usage: train_test.py PROGRAM
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest

from program import PROGRAM, ROOT
from small_training import ONE_SHARD, UNET, checkpoint_name, disc_png, vgg_weights, write_config, write_networks

STEPS = 80


def handles_interrupt(process):
    """The program has put its own handler of SIGINT in place."""
    try:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return False
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        write_networks(self.folder)

    def pictures(self, count, side):
        folder = self.folder / "pictures"
        folder.mkdir()
        for i in range(count):
            (folder / f"{i:04}.png").write_bytes(disc_png(side, side, i))
            (folder / f"{i:04}.txt").write_text(f"disc number {i}\n第{i}个圆\n")
        return folder

    def config(self, name, output, **keys):
        values = {"output_dir": str(self.folder / output), "seed": 5, "replicas": 2,
                  "sample_every_n_steps": 0, "log_every_n_steps": 10, "lr_scheduler": "constant",
                  "lr_warmup_steps": 10, **keys}
        return write_config(self.folder / name, values)

    def autoencoder(self, output, data, **keys):
        return self.config(f"{output}.toml", output, task="autoencoder", train_data_dir=[str(data)],
                           network_config=str(self.folder / "vae.json"),
                           **{"resolution": 8, "train_batch_size": 4, "max_train_steps": STEPS, "save_every_n_steps": 3, **keys})

    def denoiser(self, output, data, **keys):
        return self.config(f"{output}.toml", output, task="denoiser", train_data_dir=[str(data)],
                           network_config=str(self.folder / "unet.json"),
                           model_dir=str(ROOT / "models/mini"), train_batch_size=4, **keys)

    def start(self, *arguments):
        return subprocess.Popen([PROGRAM, "train", *map(str, arguments), "--quiet"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def train(self, *arguments, code=0):
        process = self.start(*arguments)
        out, err = process.communicate()
        self.assertEqual(process.returncode, code, (arguments, out, err))
        return out + err

    def weights(self, output, part="vae"):
        return (self.folder / output / part / "diffusion_pytorch_model.safetensors").read_bytes()

    def wait(self, process, condition):
        while process.poll() is None and not condition():
            time.sleep(0.005)

    def test_sizes_that_the_autoencoder_cannot_have_are_refused_in_our_own_words(self):
        data = self.pictures(2, 24)
        for resolution, halved, words in ((9, 0, "a multiple of 2 px"), (10, 0.3, "a multiple of 4 px")):
            said = self.train(self.autoencoder(f"odd_{resolution}", data, resolution=resolution, equivariance_probability=halved),
                              code=2)
            self.assertIn("resolution", said)
            self.assertIn(words, said)
            self.assertNotIn("libtorch", said)
        said = self.train(self.denoiser("tiny", data, resolution=8, max_train_steps=1), code=2)
        self.assertIn("a latent pixel", said)
        self.assertNotIn("libtorch", said)

    def most_memory(self, config):
        """Of a whole run, in MiB."""
        process = subprocess.Popen([PROGRAM, "train", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, said)
        self.assertIn("of their time for data", said)
        return usage.ru_maxrss / 1024

    def test_the_memory_of_an_autoencoders_training_does_not_grow_with_its_pictures(self):
        side, few, many = 64, 400, 4000
        picture = disc_png(side, side, 1)
        memory = []
        for count in (few, many):
            # Captions are the folder's name. As pixels, 3600 pictures more have 56 MiB.
            data = self.folder / f"{count}/1_disc"
            data.mkdir(parents=True)
            (data / "0000.png").write_bytes(picture)
            for i in range(1, count):
                os.link(data / "0000.png", data / f"{i:04}.png")
            memory.append(self.most_memory(self.autoencoder(f"of_{count}", data.parent, resolution=side // 2,
                                                            max_train_steps=2, replicas=1, save_every_n_steps=0,
                                                            mixed_precision="no")))
        self.assertLess(memory[1] - memory[0], 16, memory)  # MiB: names, sizes and hashes of 3600 pictures, 4 KiB of each

    def test_a_broken_picture_is_named_once_and_the_others_are_trained_on(self):
        data = self.pictures(6, 24)
        broken = data / "0003.png"
        broken.write_bytes(broken.read_bytes()[:-30])
        said = self.train(self.autoencoder("run", data, max_train_steps=8))
        self.assertEqual(said.count("0003"), 1, said)
        self.assertIn("left out", said)
        self.assertTrue(self.weights("run"))
        for picture in data.glob("*.png"):
            picture.write_bytes(picture.read_bytes()[:60])
        said = self.train(self.autoencoder("none", data, max_train_steps=8), code=2)
        self.assertIn("at least one picture that can be read", said)

    def test_a_run_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(self):
        data = self.pictures(6, 24)
        self.train(self.autoencoder("whole", data))
        config, draw = self.autoencoder("killed", data), random.Random()
        checkpoint = self.folder / "killed" / ONE_SHARD
        steps = []
        for kill in range(5):
            before = checkpoint_name(self.folder / "killed")
            process = self.start(config)
            # The first one dies anywhere; the others after they have saved something.
            if kill > 0:
                self.wait(process, lambda: checkpoint_name(self.folder / "killed") != before)
            time.sleep(draw.uniform(0, 0.1 if kill > 0 else 0.4))
            process.kill()
            process.communicate()
            self.assertEqual(process.returncode, -signal.SIGKILL, "it ended before it was killed")
            if checkpoint.exists():
                found = subprocess.run([PROGRAM, "inspect", checkpoint, "--json"], check=True,
                                       capture_output=True, text=True).stdout
                steps.append(int(json.loads(found)["metadata"]["step"]))
        self.assertEqual(steps, sorted(set(steps)), "each run must get further")
        self.assertLess(steps[-1], STEPS)
        self.train(config)
        self.assertEqual(self.weights("killed"), self.weights("whole"), f"killed after {steps}")
        self.assertEqual(list((self.folder / "killed").glob("*.tmp-*")), [])
        self.assertEqual(len(list((self.folder / "killed").glob("checkpoint-*"))), 1)
        metrics = (self.folder / "killed/metrics.jsonl").read_text().splitlines()
        lines = [json.loads(line)["step"] for line in metrics]
        self.assertEqual(lines, sorted(set(lines)))
        self.assertIn("<svg", (self.folder / "killed/metrics.html").read_text())

    def test_a_discriminator_trains_along_and_is_in_the_checkpoints_but_in_no_autoencoder(self):
        data = self.pictures(6, 24)
        weights = self.folder / "vgg.safetensors"
        weights.write_bytes(vgg_weights(1))
        judged = {"resolution": 16, "perceptual_weights": str(weights), "discriminator_start": 8, "adversarial_start": 16, "discriminator_channels": 4,
                  "log_every_n_steps": 4}
        plain = self.autoencoder("plain", data, **{**judged, "adversarial_weight": 0})
        whole, parts = (self.autoencoder(name, data, adversarial_weight=0.5, **judged) for name in ("whole", "parts"))
        self.train(plain, "--set", "max_train_steps=24")
        self.train(whole, "--set", "max_train_steps=24")
        self.train(parts, "--set", "max_train_steps=10")
        self.train(parts, "--set", "max_train_steps=24")
        self.assertEqual(self.weights("parts"), self.weights("whole"))
        self.assertNotEqual(self.weights("plain"), self.weights("whole"))
        self.assertEqual(len(self.weights("plain")), len(self.weights("whole")))
        self.assertNotIn(b"discriminator", self.weights("whole"))
        self.assertIn(b"discriminator", (self.folder / "whole" / ONE_SHARD).read_bytes()[:1 << 20])
        lines = [json.loads(line) for line in (self.folder / "whole/metrics.jsonl").read_text().splitlines()]
        self.assertEqual([(line["step"], "discriminator_loss" in line, "adversarial_loss" in line) for line in lines],
                         [(step, step > 8, step > 16) for step in range(4, 25, 4)])
        self.assertNotIn("discriminator_loss", (self.folder / "plain/metrics.jsonl").read_text())
        said = self.train(self.autoencoder("early", data, adversarial_weight=0.5, **{**judged, "adversarial_start": 7}), code=2)
        self.assertIn("at least discriminator_start", said)

    def test_a_run_that_moves_in_small_files_goes_on_with_the_same_bits(self):
        data = self.pictures(6, 24)
        self.train(self.autoencoder("whole", data, optimizer="muon"))
        here, there = (self.autoencoder(name, data, optimizer="muon") for name in ("here", "there"))
        state = self.folder / "state"
        self.train(there, "--export-state", state, code=2)  # nothing to export yet
        self.train(here, "--set", f"max_train_steps={STEPS // 2}")
        said = self.train(here, "--export-state", state, "--piece-mb", "1")
        self.assertIn(f"step {STEPS // 2}", said)
        pieces = sorted(state.glob("*.bin"))
        self.assertGreater(len(pieces), 1)
        self.assertLessEqual(max(path.stat().st_size for path in pieces), 1_000_000)

        whole = pieces[1].read_bytes()
        pieces[1].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        self.assertIn(pieces[1].name, self.train(there, "--import-state", state, code=2))
        pieces[1].unlink()
        self.assertIn(pieces[1].name, self.train(there, "--import-state", state, code=2))
        self.assertFalse((self.folder / "there/checkpoint").exists())
        pieces[1].write_bytes(whole)

        self.train(there, "--import-state", state)
        self.train(there)
        self.assertEqual(self.weights("there"), self.weights("whole"))
        # An older state does not replace a newer run unless it is asked to.
        before = (self.folder / "there" / ONE_SHARD).read_bytes()
        self.assertIn("--fresh", self.train(there, "--import-state", state, code=2))
        self.assertEqual((self.folder / "there" / ONE_SHARD).read_bytes(), before)
        self.train(there, "--import-state", state, "--fresh")
        self.assertNotEqual((self.folder / "there" / ONE_SHARD).read_bytes(), before)

    def test_a_stop_while_caching_keeps_what_is_cached_and_training_goes_on_from_it(self):
        data = self.pictures(80, 24)
        config = self.denoiser("unet", data, resolution=64, max_train_steps=2)
        cache = self.folder / "unet/cache"

        process = self.start(config)
        self.wait(process, lambda: handles_interrupt(process))
        process.send_signal(signal.SIGINT)
        err = process.communicate()[1]
        self.assertEqual(process.returncode, 130, err)
        self.assertRegex(err, r"captions: stopped after \d+ of 161")

        process = self.start(config)
        self.wait(process, lambda: any(cache.glob("*/captions-*.safetensors")))
        process.send_signal(signal.SIGTERM)
        err = process.communicate()[1]
        self.assertEqual(process.returncode, 143, err)
        self.assertRegex(err, r"latents: stopped after \d+ of 80")

        self.train(config)
        self.assertTrue(self.weights("unet", "model/unet"))

    def test_a_folder_and_the_shards_packed_of_it_train_to_the_same_bits(self):
        data, shards = self.pictures(6, 24), self.folder / "shards"
        subprocess.run([PROGRAM, "data", "pack", data, "--out", shards, "-q"], check=True,
                       capture_output=True)
        for output, source in (("folder", data), ("tar", shards)):
            self.train(self.denoiser(output, source, resolution=64, max_train_steps=3))
        self.assertEqual(self.weights("tar", "model/unet"), self.weights("folder", "model/unet"))

    def test_a_run_does_not_go_on_with_other_data_networks_or_encoders(self):
        data = self.pictures(6, 24)
        config = self.denoiser("run", data, resolution=64, max_train_steps=4)
        self.train(config, "--set", "max_train_steps=2")
        self.train(config, "--dry-run")
        caption, picture = data / "0003.txt", data / "0003.png"
        for path, other in ((caption, "another disc\n"), (picture, picture.with_name("0001.png").read_bytes())):
            before = path.read_bytes()
            path.write_bytes(other if isinstance(other, bytes) else other.encode())
            said = self.train(config, code=2)
            self.assertRegex(said, r'data "\w+", now "\w+"')
            self.assertIn("--fresh", said)
            path.write_bytes(before)
        network = self.folder / "unet.json"
        network.write_text(json.dumps({**UNET, "norm_num_groups": 8}))
        self.assertRegex(self.train(config, code=2), r'network "\w+", now "\w+"')
        network.write_text(json.dumps(UNET))
        self.assertIn("--set replicas=2", self.train(config, "--set", "replicas=1", code=2))
        self.train(config)

    def test_a_replica_for_each_thread_that_the_command_allows(self):
        config = self.autoencoder("run", self.pictures(6, 24), replicas=0, max_train_steps=2)
        self.train(config, "--threads", "1")
        self.assertIn("--set replicas=1", self.train(config, "--set", "replicas=2", code=2))

    def two_experts(self, data):
        """Trains small experts of the form of models/mini; the texture expert's configuration, and the folder of both."""
        drawing = [str(ROOT / "configs" / name) for name in ("mini/styles.json", "mini/drawing.json")]
        common = {"resolution": 64, "max_train_steps": 2, "drawing": drawing,
                  "prediction_type": "v_prediction"}
        self.train(self.denoiser("structure", data, min_timestep=500, **common))
        texture = self.denoiser("texture", data, max_timestep=500,
                                other_expert=str(self.folder / "structure/model"), **common)
        self.train(texture)
        return texture, self.folder / "texture/model"

    def small_model(self, data):
        """Such a folder, made once for all tests: checkpoints of models/mini itself are of hundreds of megabytes."""
        if not (self.shared / "small").exists():
            self.two_experts(data)[1].rename(self.shared / "small")
        return self.shared / "small"

    def test_two_experts_become_a_model_that_says_all_that_drawing_needs(self):
        texture, model = self.two_experts(self.pictures(6, 24))
        structure, mini = self.folder / "structure/model", ROOT / "models/mini"
        for name in ("model_index.json", "scheduler/scheduler_config.json"):
            self.assertEqual(json.loads((model / name).read_text()), json.loads((mini / name).read_text()))
        self.assertEqual((model / "unet/diffusion_pytorch_model.safetensors").read_bytes(),
                         self.weights("structure", "model/unet"))
        cost = json.loads((self.folder / "texture/accounting.json").read_text())
        self.assertEqual((cost["pictures"], cost["pictures_in_all"], cost["steps"]), (6, 6, 2))
        self.assertAlmostEqual(cost["gflop"], cost["samples"] * cost["gflop_a_sample"], places=6)
        self.assertGreater(cost["gflop_a_picture"], 0)
        picture = self.folder / "drawn.png"
        subprocess.run([PROGRAM, "draw", "a disc", "--model", model, "--size", "64x64", "--steps", "3",
                        "--style", "flat", "--out", picture, "-q"], check=True, capture_output=True)
        self.assertEqual(picture.read_bytes()[:4], b"\x89PNG")
        # One of two experts says so, and fits no other half.
        self.assertEqual(json.loads((structure / "model_index.json").read_text())["trained_timesteps"],
                         [500, 1000])
        said = self.train(texture, "--set", "max_timestep=400", "--fresh", code=2)
        self.assertIn("400 to 1000", said)
        wrong = self.folder / "drawing.json"
        wrong.write_text(json.dumps({"default_step": 20}))
        said = self.train(texture, "--set", f'drawing=["{wrong}"]', "--fresh", code=2)
        self.assertIn("default_step", said)

    def test_an_expert_is_distilled_from_its_own_weights_and_goes_on_with_the_same_bits(self):
        texture, model = self.two_experts(self.pictures(6, 24))
        begun = model / "unet_texture/diffusion_pytorch_model.safetensors"
        keys = {"distillation_phases": 2, "num_ddim_timesteps": 8, "distillation_guidance": 3.0}

        def distilled(name, *words, steps=4):
            self.train(texture, "--set", f"output_dir={self.folder / name}", "--set", f"initial_weights={begun}", "--set",
                       f"max_train_steps={steps}", "--set", "sample_every_n_steps=2",
                       *(word for key, value in keys.items() for word in ("--set", f"{key}={value}")), *words)
            return (self.folder / name / "model/unet_texture/diffusion_pytorch_model.safetensors").read_bytes()

        whole = distilled("whole")
        self.assertNotEqual(whole, begun.read_bytes())
        self.assertTrue((self.folder / "whole/samples/step2.png").exists())
        distilled("parts", steps=2)
        self.assertEqual(distilled("parts"), whole)
        cost, plain = (json.loads((self.folder / name / "accounting.json").read_text()) for name in ("whole", "texture"))
        self.assertAlmostEqual(cost["gflop_a_sample"], 2 * plain["gflop_a_sample"], places=6)
        picture = self.folder / "drawn.png"
        subprocess.run([PROGRAM, "draw", "a disc", "--model", self.folder / "whole/model", "--size", "64x64", "--steps", "4",
                        "--sampler", "euler", "--schedule", "sgm_uniform", "--guidance", "1", "--out", picture, "-q"],
                       check=True, capture_output=True)
        self.assertEqual(picture.read_bytes()[:4], b"\x89PNG")

    def finetune(self, *arguments, data=None, out="mine", code=0, base=ROOT / "models/mini"):
        """Fine-tunes a model in a few steps; what it said on stdout and stderr."""
        process = subprocess.Popen(
            [PROGRAM, "train", "--finetune", str(base), "--data", str(data),
             "--out", str(self.folder / out), "--steps", "2", "--set", "resolution=128",
             "--set", "train_batch_size=2", "--set", "replicas=2", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder)
        stdout, stderr = process.communicate()
        self.assertEqual(process.returncode, code, (arguments, stdout, stderr))
        return stdout, stderr

    def test_pictures_in_a_folder_become_a_model_that_draws_in_one_command(self):
        data, mini, mine = self.pictures(3, 40), ROOT / "models/mini", self.folder / "mine"
        out, err = self.finetune("--dry-run", data=data)
        self.assertIn("all is fine", out)
        self.assertEqual((err.count("would start, 2 steps"), err.count("starting")), (2, 0))
        self.assertFalse(mine.exists(), "a dry run writes nothing")

        out, err = self.finetune(data=data)
        self.assertIn(f"draw \"...\" --model {mine}", out)
        for expert, times in (("structure", "500 to 1000"), ("texture", "0 to 500")):
            self.assertIn(f"fine-tuning 'mini', {expert} (timesteps {times}): starting, 2 steps", err)
        index = json.loads((mine / "model_index.json").read_text())
        base = json.loads((mini / "model_index.json").read_text())
        self.assertEqual(index, base)
        for part in ("unet", "unet_texture"):
            self.assertNotEqual(self.weights("mine", part), (mini / part / "diffusion_pytorch_model.safetensors").read_bytes())
        self.assertEqual((mine / "vae/config.json").read_text(), (mini / "vae/config.json").read_text())
        picture = self.folder / "drawn.png"
        subprocess.run([PROGRAM, "draw", "a disc", "--model", mine, "--size", "128x128", "--steps", "2",
                        "--out", picture, "-q"], check=True, capture_output=True)
        self.assertEqual(picture.read_bytes()[:4], b"\x89PNG")

        # The same command has nothing more to do, and more steps go on.
        out, err = self.finetune(data=data)
        self.assertEqual(err.count("its 2 steps are done"), 2)
        before = self.weights("mine", "unet")
        out, err = self.finetune("--set", "max_train_steps=3", data=data)
        self.assertIn("resuming at step 2 of 3 steps", err)
        self.assertNotEqual(self.weights("mine", "unet"), before)

    def test_one_expert_alone_is_fine_tuned_beside_the_other_one_of_the_model(self):
        data = self.pictures(2, 40)
        base = self.small_model(data)
        self.finetune("--set", "expert=texture", data=data, base=base)
        self.assertEqual(self.weights("mine", "unet"), (base / "unet/diffusion_pytorch_model.safetensors").read_bytes())
        self.assertNotEqual(self.weights("mine", "unet_texture"), (base / "unet_texture/diffusion_pytorch_model.safetensors").read_bytes())
        texture = self.weights("mine", "unet_texture")
        self.finetune("--set", "expert=structure", data=data, base=base)
        self.assertEqual(self.weights("mine", "unet_texture"), texture)

    def test_models_in_pixels_are_fine_tuned_too_with_the_text_encoder_that_they_borrow(self):
        data = self.pictures(2, 40)
        for model in ("low", "edges", "variation"):
            with self.subTest(model=model):
                process = subprocess.run(
                    [PROGRAM, "train", "--finetune", ROOT / "models" / model, "--data", data, "--out",
                     self.folder / model, "--steps", "1", "--set", "train_batch_size=2",
                     "--set", "replicas=1", "--set", "resolution=64", "-q"], capture_output=True, text=True)
                self.assertEqual(process.returncode, 0, process.stderr)
                index = json.loads((self.folder / model / "model_index.json").read_text())
                self.assertNotIn("text_model", index)
                self.assertEqual((self.folder / model / "text_encoder").exists(), model != "variation")
        picture = self.folder / "drawn.png"
        subprocess.run([PROGRAM, "draw", "a disc", "--model", self.folder / "low", "--size", "64x64",
                        "--steps", "1", "--out", picture, "-q"], check=True, capture_output=True)
        self.assertTrue(picture.exists())

    def test_a_configuration_that_is_written_trains_the_same_from_any_folder(self):
        data = self.pictures(2, 40)
        base = self.small_model(data)
        self.finetune(data=data, out="flags", base=base)
        written = self.folder / "configs/mine.toml"
        written.parent.mkdir()
        out, err = self.finetune("--write-config", written, data=data, out="file", base=base)
        self.assertIn(f"pangu-draw train {written}", out)
        self.assertFalse((self.folder / "file").exists())
        self.assertIn('train_data_dir = ["../pictures"]'.replace("../pictures", str(data)), written.read_text())
        self.assertNotIn("scene_count", written.read_text())
        self.train(written)
        for part in ("unet", "unet_texture"):
            self.assertEqual(self.weights("file", part), self.weights("flags", part))
        out, err = self.finetune("--write-config", written, data=data, out="file", base=base, code=2)
        self.assertIn("--write-config", err)

    def test_what_cannot_be_fine_tuned_is_told_before_anything_is_written(self):
        data = self.pictures(2, 40)
        other = self.folder / "other"
        other.mkdir()
        (other / "photo.txt").write_text("mine")
        self.assertIn("other files", self.finetune(data=data, out="other", code=2)[1])
        self.assertIn("another folder", self.train("--finetune", ROOT / "models/mini", "--data", data,
                                                   "--out", ROOT / "models/mini", code=2))
        self.assertIn("--data", self.train("--finetune", ROOT / "models/mini", "--out", other, code=2))
        self.assertIn("--out", self.train("--finetune", ROOT / "models/mini", "--data", data, code=2))
        self.assertIn("--finetune", self.train(code=2))
        self.assertIn("min_timestep", self.finetune("--set", "min_timestep=3", data=data, code=2)[1])
        self.assertIn("colour", self.finetune("--set", "expert=colour", data=data, code=2)[1])
        nowhere = self.finetune(data=self.folder / "nowhere", code=2)[1]
        self.assertIn("nowhere", nowhere)
        broken = self.folder / "broken"
        broken.mkdir()
        (broken / "a.png").write_bytes(disc_png(40, 40, 1)[:60])
        (broken / "a.txt").write_text("half a disc")
        self.assertIn("readable", self.finetune("--dry-run", data=broken, code=2)[1])
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()),
                         ["broken", "other", "pictures", "unet.json", "vae.json"])

    def test_a_stop_says_that_a_checkpoint_is_written_and_leaves_a_model(self):
        data = self.pictures(2, 40)
        command = [PROGRAM, "train", "--finetune", self.small_model(data), "--data", data, "--out",
                   self.folder / "mine", "--steps", "1000", "--set", "resolution=128",
                   "--set", "train_batch_size=2", "--set", "replicas=1", "--set", "log_every_n_steps=1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        metrics = self.folder / "mine/training/structure/metrics.jsonl"
        self.wait(process, metrics.exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("stopping, writing a checkpoint", err)
        self.assertIn("the same command goes on from here", err)
        self.assertNotIn("texture", err)
        self.assertTrue((self.folder / "mine/model_index.json").exists())
        # Times are told in one form, once a line.
        for line in err.splitlines():
            self.assertLessEqual(line.count(" left"), 1, line)

    def test_paths_in_a_configuration_are_taken_from_its_folder(self):
        self.pictures(3, 24)
        config = self.folder / "configs/a.toml"
        config.parent.mkdir()
        config.write_text("""task = "autoencoder"
output_dir = "../run"
train_data_dir = ["../pictures"]
network_config = "../vae.json"
resolution = 8
train_batch_size = 2
max_train_steps = 1
replicas = 1
sample_every_n_steps = 0
""")
        self.train(config)
        self.assertTrue(self.weights("run"))
        config.write_text(config.read_text().replace("../vae.json", "vae.json"))
        said = self.train(config, code=2)
        self.assertIn("network_config", said)
        self.assertIn("folder of that file", said)

    def test_a_crop_that_is_larger_than_a_latent_is_refused(self):
        config = self.denoiser("run", self.pictures(2, 24), resolution=64, latent_crop=9)
        self.assertIn("latent_crop", self.train(config, code=2))


if __name__ == "__main__":
    unittest.main()
