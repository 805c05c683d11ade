"""`pangu-draw eval pictures` beside torch-fidelity and clean-fid, with random weights of the FID network: features of
every picture, FID, KID, Inception Score, resizing; shards, statistics in files, and what is refused.

Usage: eval_pictures_test.py PROGRAM
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from program import ROOT
import program

sys.path.insert(0, str(ROOT / "tools" / "parity"))
import eval_libraries

eval_libraries.enter()

import numpy
import torch
from PIL import Image
from safetensors.numpy import load_file

# f32 sums in another order through 94 convolutions, beside the greatest feature.
FEATURES = 1e-4
SCORES = 1e-3  # relative: features as above; KID in f32 there
PICTURES, REAL = 14, 12


def make_pictures(folder, count, side, seed):
    folder.mkdir()
    generator = numpy.random.default_rng(seed)
    for i in range(count):
        noise = generator.integers(0, 256, (5, 5, 3), dtype=numpy.uint8)
        Image.fromarray(noise).resize((side, side + i), Image.BICUBIC).save(folder / f"{i:05d}.png")
    return folder


class EvalPictures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.path = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        torch.set_num_threads(1)
        cls.weights = cls.path / "weights.pth"
        cls.network = eval_libraries.random_inception(1, cls.weights)
        cls.drawn = make_pictures(cls.path / "drawn", PICTURES, 40, 1)
        cls.real = make_pictures(cls.path / "real", REAL, 52, 2)
        cls.real_statistics = cls.path / "real.safetensors"
        cls.run_eval(cls.real, "--out", cls.real_statistics)
        cls.features = {folder: cls.features_of(folder) for folder in (cls.drawn, cls.real)}

    @classmethod
    def features_of(cls, folder):
        rows = [cls.network(torch.tensor(numpy.asarray(Image.open(file).convert("RGB"))).permute(2, 0, 1)[None])
                for file in sorted(folder.iterdir())]
        return tuple(torch.cat(part) for part in zip(*rows))

    @classmethod
    def run_eval(cls, *arguments, weights=True):
        done = program.run_as_user("eval", "pictures", *arguments, "-q", "--threads", 1,
                                   *(["--fid-weights", cls.weights] if weights else []))
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return done

    def scores(self, *arguments, weights=True):
        self.run_eval(*arguments, "--json", self.path / "scores.json", weights=weights)
        return json.loads((self.path / "scores.json").read_text())

    def assert_close(self, found, wanted, bound, what):
        error = float(numpy.abs(numpy.asarray(found) - numpy.asarray(wanted)).max() / numpy.abs(wanted).max())
        print(f"{what}: relative error {error:.2e}, bound {bound:g}")
        self.assertLessEqual(error, bound, what)

    def test_features_and_scores_are_torch_fidelitys(self):
        from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
        from torch_fidelity.metric_isc import isc_features_to_metric
        from torch_fidelity.metric_kid import kid_features_to_metric

        kept = self.path / "drawn.safetensors"
        found = self.scores(self.drawn, "--reference", self.real_statistics, "--out", kept, "--kid-subset-size", 10,
                            "--kid-subsets", 7)
        (drawn, logits), (real, _) = self.features[self.drawn], self.features[self.real]
        self.assert_close(load_file(kept)["kernel.rows"], drawn.numpy(), FEATURES, "features")
        score = isc_features_to_metric(logits)
        self.assert_close(found["inception_score"], score["inception_score_mean"], SCORES, "Inception Score")
        self.assert_close(found["inception_score_deviation"], score["inception_score_std"], SCORES, "its deviation")
        kid = kid_features_to_metric(drawn, real, kid_subsets=7, kid_subset_size=10, rng_seed=2020, verbose=False)
        self.assert_close(found["kid"], kid["kernel_inception_distance_mean"], SCORES, "KID")
        self.assert_close(found["kid_deviation"], kid["kernel_inception_distance_std"], SCORES, "its deviation")
        fid = fid_statistics_to_metric(fid_features_to_statistics(drawn), fid_features_to_statistics(real), False)
        self.assert_close(found["fid"], fid["frechet_inception_distance"], SCORES, "FID")

    def test_the_bench_measures_few_pictures_too_and_records_none_of_them(self):
        results = self.path / "results.jsonl"
        done = subprocess.run([sys.executable, ROOT / "bench/eval_pictures.py", program.PROGRAM, self.path / "bench",
                               "--pictures", "5", "--reference", "4", "--side", "32", "--results", results],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"5 pictures of 32 px: .* GiB at most \(bar 1.86 GiB\)")
        self.assertFalse(results.exists())

    def test_shards_and_an_npz_give_the_scores_of_the_whole(self):
        parts = [self.path / f"part-{i}.safetensors" for i in range(3)]
        for i, part in enumerate(parts):
            self.run_eval(self.drawn, "--shard", f"{i}/3", "--out", part)
        flags = ["--reference", self.real_statistics, "--kid-subset-size", 10, "--kid-subsets", 2]
        merged = self.scores(*parts, *flags, "--out", self.path / "merged.npz", weights=False)
        whole = self.scores(self.drawn, *flags, "--out", self.path / "whole.safetensors")
        for key in ("fid", "kid", "inception_score"):
            self.assertAlmostEqual(merged[key], whole[key], places=6, msg=key)
        moments = numpy.load(self.path / "merged.npz")
        features = self.features[self.drawn][0].double().numpy()
        self.assert_close(moments["mu"], features.mean(0), FEATURES, "mu")
        self.assert_close(moments["sigma"], numpy.cov(features, rowvar=False), SCORES, "sigma")
        numpy.savez_compressed(self.path / "real.npz", **dict(zip(
            ("mu", "sigma"), (lambda x: (x.mean(0), numpy.cov(x, rowvar=False)))(
                self.features[self.real][0].double().numpy()))))
        from_npz = self.scores(self.path / "merged.npz", "--reference", self.path / "real.npz", weights=False)
        self.assert_close(from_npz["fid"], whole["fid"], SCORES, "FID of two .npz")
        self.assertNotIn("kid", from_npz)
        self.assertIn("part-2", program.run("eval", "pictures", parts[0], parts[2]).stderr)

    def test_the_other_conventions_are_clean_fids_and_pytorch_fids(self):
        from cleanfid.fid import frechet_distance, get_folder_features

        layers = self.network

        def after_resizing(x):  # the network without its own resizing and scaling
            for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1",
                         "Conv2d_4a_3x3", "MaxPool_2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b",
                         "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"):
                x = getattr(layers, name)(x)
            return x.flatten(1)

        few = make_pictures(self.path / "few", 3, 333, 5)
        kept = self.path / "clean.safetensors"
        self.run_eval(few, "--resize", "clean-fid", "--out", kept)
        clean = get_folder_features(str(few), model=lambda x: after_resizing((x - 128) / 128), num_workers=0,
                                    batch_size=1, device=torch.device("cpu"), mode="clean", verbose=False)
        found = load_file(kept)["kernel.rows"]
        self.assert_close(found, clean, FEATURES, "features of clean-fid")
        self.run_eval(few, "--resize", "pytorch-fid", "--out", self.path / "pytorch.safetensors")
        wanted = torch.cat([after_resizing(2 * torch.nn.functional.interpolate(
            torch.tensor(numpy.asarray(Image.open(file))).permute(2, 0, 1)[None].float() / 255, size=(299, 299),
            mode="bilinear", align_corners=False) - 1) for file in sorted(few.iterdir())])
        self.assert_close(load_file(self.path / "pytorch.safetensors")["kernel.rows"], wanted.numpy(), FEATURES,
                          "features of pytorch-fid")
        # clean-fid's arithmetic on moments of few numbers, for its root of a matrix of 2048 takes minutes.
        for name, rows in (("a", self.features[self.drawn][0]), ("b", self.features[self.real][0])):
            rows = rows.double().numpy()[:, :8]
            numpy.savez(self.path / f"{name}.npz", mu=rows.mean(0), sigma=numpy.cov(rows, rowvar=False))
        a, b = (numpy.load(self.path / f"{name}.npz") for name in "ab")
        found = self.scores(self.path / "a.npz", "--reference", self.path / "b.npz", weights=False)["fid"]
        self.assert_close(found, frechet_distance(a["mu"], a["sigma"], b["mu"], b["sigma"]), SCORES, "FID of clean-fid")
        other = program.run("eval", "pictures", kept, "--reference", self.real_statistics)
        self.assertEqual(other.returncode, 2)
        self.assertIn("clean-fid", other.stderr)

    def test_what_is_missing_or_wrong_exits_with_2_and_names_it(self):
        empty = self.path / "empty"
        empty.mkdir()
        broken = self.path / "broken"
        broken.mkdir()
        (broken / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        for arguments, words in (
            ([self.drawn], ["--fid-weights"]),
            ([self.path / "none", "--fid-weights", self.weights], ["none"]),
            ([empty, "--fid-weights", self.weights], ["empty", "PNG"]),
            ([broken, "--fid-weights", self.weights], ["a.png"]),
            ([self.drawn, "--fid-weights", self.drawn / "00000.png"], ["--fid-weights", "00000.png"]),
            ([self.drawn, "--fid-weights", self.real_statistics], ["--fid-weights", "Conv2d_1a_3x3"]),
            ([self.drawn, "--fid-weights", self.weights, "--resize", "best"], ["--resize", "clean-fid"]),
            ([self.drawn, "--fid-weights", self.weights, "--shard", "0/2"], ["--shard", "--out"]),
            ([self.drawn, "--fid-weights", self.weights, "--shard", "2/2", "--out", "a.safetensors"], ["--shard", "2/2"]),
            ([self.drawn, "--fid-weights", self.weights, "--out", "a.txt"], ["--out", ".npz"]),
            ([self.drawn, "--fid-weights", self.weights, "--out", self.real_statistics], ["real.safetensors"]),
            ([self.drawn, self.real, "--fid-weights", self.weights], ["one folder"]),
        ):
            done = program.run("eval", "pictures", *arguments, "-q")
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)


if __name__ == "__main__":
    unittest.main()
