"""Checkpoints of `pangu-draw train` as PyTorch reads them: torch.distributed.checkpoint loads what any number of processes
wrote, and consolidates it to one file; another number of processes goes on from it.

Usage: dcp_test.py PROGRAM
"""

import json
import pathlib
import subprocess
import tempfile
import unittest
import warnings

from program import BARE, PROGRAM, ROOT, reference_imports
from safetensors_file import safetensors_parts
from small_training import disc_png, write_config, write_networks

with reference_imports():
    import torch
    import torch.distributed.checkpoint as dcp
    from safetensors.torch import load_file
    from torch.distributed.checkpoint import HuggingFaceStorageReader
    from torch.distributed.checkpoint._consolidate_hf_safetensors import consolidate_safetensors_files

STEPS = 6
CLOSE = 1e-5  # of sums in another order in f32, against the loss


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        write_networks(cls.folder)
        cls.data = cls.folder / "pictures"
        cls.data.mkdir()
        for i in range(4):
            (cls.data / f"{i}.png").write_bytes(disc_png(24, 24, i))
            (cls.data / f"{i}.txt").write_text(f"disc number {i}\n")

    def train(self, output, processes, code=0, **keys):
        config = write_config(self.folder / f"{output}.toml", {
            "output_dir": str(self.folder / output), "task": "autoencoder", "train_data_dir": [str(self.data)],
            "network_config": str(self.folder / "vae.json"), "resolution": 8, "train_batch_size": 4,
            "max_train_steps": STEPS, "mixed_precision": "no", "seed": 5, "replicas": 1, "log_every_n_steps": 1,
            "sample_every_n_steps": 0, "lr_scheduler": "constant", "learning_rate": 1e-4, **keys})
        many = ["--nproc", str(processes)] if processes > 1 else []
        done = subprocess.run([PROGRAM, "train", str(config), *many], capture_output=True, text=True, check=False,
                              env={**BARE, "PANGU_HOME": str(ROOT)})
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def losses(self, output):
        return [json.loads(line)["loss"] for line in (self.folder / output / "metrics.jsonl").read_text().splitlines()]

    def loaded(self, output):
        """By torch.distributed.checkpoint, without a process group."""
        folder = str(self.folder / output / "checkpoint")
        found = HuggingFaceStorageReader(folder).read_metadata().state_dict_metadata
        state = {name: torch.full(one.size, 77, dtype=one.properties.dtype) for name, one in found.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.load(state, storage_reader=HuggingFaceStorageReader(folder), no_dist=True)
        return state

    def joined(self, output):
        """By offsets alone: nothing of what is compared with."""
        whole, boxes = {}, []
        for path in sorted((self.folder / output / "checkpoint").glob("*.safetensors")):
            info = json.loads(safetensors_parts(path)[0]["__metadata__"]["DCP_SHARDING_INFO"])
            boxes += [(name, info[name]["saved_offsets"], part) for name, part in load_file(path).items()]
        for name in {name for name, _, _ in boxes}:
            own = [(offsets, part) for other, offsets, part in boxes if other == name]
            shape = [max(o[axis] + part.shape[axis] for o, part in own) for axis in range(own[0][1].dim())]
            whole[name] = torch.empty(shape, dtype=own[0][1].dtype)
            for offsets, part in own:
                whole[name][tuple(slice(o, o + n) for o, n in zip(offsets, part.shape))] = part
        return whole

    def check_equal(self, got, want):
        self.assertEqual(sorted(got), sorted(want))
        for name, tensor in want.items():
            self.assertTrue(torch.equal(got[name], tensor), name)

    def test_pytorch_loads_and_consolidates_what_any_number_of_processes_wrote(self):
        for processes, keys in ((1, {}), (2, {"zero_stage": 2}), (4, {"zero_stage": 1}),
                                (2, {"zero_stage": 1, "optimizer": "muon", "mixed_precision": "bf16"})):
            with self.subTest(processes=processes, **keys):
                output = f"run{processes}" + "".join(map(str, keys.values()))
                self.train(output, processes, **keys)
                shards = {path.name[:len("shard-00001")] for path in (self.folder / output / "checkpoint").iterdir()}
                self.assertEqual(len(shards), processes, "every process writes")
                state = self.loaded(output)
                self.check_equal(state, self.joined(output))
                # The average is what the run exported.
                exported = load_file(self.folder / output / "vae/diffusion_pytorch_model.safetensors")
                self.assertEqual(sorted(exported), sorted(name[4:] for name in state if name.startswith("ema/")))
                for name, tensor in exported.items():
                    self.assertTrue(torch.equal(state[f"ema/{name}"].to(tensor.dtype), tensor), name)
                one = self.folder / f"{output}_one"
                one.mkdir()
                consolidate_safetensors_files(str(self.folder / output / "checkpoint"), str(one), dict.fromkeys(state, 1))
                self.check_equal(load_file(one / "model-00001-of-00001.safetensors"), state)
                self.assertTrue((one / "model.safetensors.index.json").exists())

    def test_moments_of_8_bits_are_loaded_too(self):
        self.train("codes", 2, optimizer="adamw8bit")
        state = self.loaded("codes")
        self.assertIn(torch.uint8, {tensor.dtype for tensor in state.values()})
        self.check_equal(state, self.joined("codes"))
        # PyTorch 2.13 consolidates numbers with a fraction alone.
        floats = [name for name, tensor in state.items() if tensor.is_floating_point()]
        one = self.folder / "codes_one"
        one.mkdir()
        consolidate_safetensors_files(str(self.folder / "codes/checkpoint"), str(one), dict.fromkeys(floats, 1))
        self.check_equal(load_file(one / "model-00001-of-00001.safetensors"), {name: state[name] for name in floats})

    def test_two_processes_one_and_four_go_on_from_each_other(self):
        self.train("whole", 1)
        for i, (processes, stage) in enumerate(((2, 2), (1, 0), (4, 1))):
            self.train("changing", processes, zero_stage=stage, max_train_steps=STEPS * (i + 1) // 3)
        for step, (a, b) in enumerate(zip(self.losses("whole"), self.losses("changing"), strict=True)):
            self.assertLess(abs(a - b), CLOSE * abs(a), step)

    def test_the_log_says_how_checkpoints_are_written_and_the_bits_do_not_depend_on_it(self):
        bits = {}
        for name, memory, words in (("asynchronous", 1, "while training goes on"), ("streamed", 0, "async_save_memory_gib")):
            said = self.train(name, 2, zero_stage=2, save_every_n_steps=2, async_save_memory_gib=memory)
            self.assertIn(words, said)
            bits[name] = self.loaded(name)
        self.check_equal(bits["asynchronous"], bits["streamed"])

    def test_a_network_begins_from_the_weights_of_a_checkpoint(self):
        self.train("first", 2, zero_stage=2)
        self.train("second", 1, initial_weights=str(self.folder / "first/checkpoint"), max_train_steps=1, learning_rate=0.0)
        first, second = self.loaded("first"), self.loaded("second")
        for name in first:
            if name.startswith("master/"):
                self.assertTrue(torch.equal(first[name], second[name]), name)

    def test_broken_checkpoints_are_told(self):
        self.train("broken", 2, zero_stage=2)
        folder = self.folder / "broken/checkpoint"
        shards = sorted(folder.glob("*.safetensors"))
        whole = {path: path.read_bytes() for path in shards}

        def refused(processes=1):
            said = self.train("broken", processes, code=2, max_train_steps=STEPS + 1, zero_stage=2)
            for path, data in whole.items():
                path.write_bytes(data)
            return said

        shards[-1].unlink()
        self.assertIn(f"no '{shards[-1].name}'", refused())
        shards[0].write_bytes(whole[shards[0]][:-100])
        self.assertIn(shards[0].name, refused(2))
        self.train("other", 2, zero_stage=2, max_train_steps=2)
        shards[0].write_bytes((self.folder / "other/checkpoint" / shards[0].name).read_bytes())
        said = refused()
        self.assertIn("step 2", said)
        self.assertIn(f"step {STEPS}", said)
        # A tensor that this training does not have, in all of its places.
        for path in shards:
            path.write_bytes(whole[path].replace(b"m/decoder.conv_out.bias", b"m/decoder.conv_out.bier"))
        self.assertIn("m/decoder.conv_out.bier", refused(2))
        self.train("broken", 2, zero_stage=2, max_train_steps=STEPS + 1)


if __name__ == "__main__":
    unittest.main()
