"""The CLIP score of `pangu-draw eval pictures` beside open_clip and cn_clip, with random weights; and `eval model`, which
draws in shards, goes on where it was, and is measured.

Usage: eval_clip_test.py PROGRAM
"""

import json
import pathlib
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

# Cosines in f32; pictures are resized byte for byte as by Pillow.
SCORES = 1e-5
CAPTIONS = ("a red apple on a table", "two dogs, playing; it's fun!", "一只在雪地里的红色狐狸", "Ünïcode &amp; more")


def make_pictures(folder):
    folder.mkdir()
    generator = numpy.random.default_rng(3)
    lines = []
    for i, caption in enumerate(CAPTIONS):
        noise = generator.integers(0, 256, (6, 6, 3), dtype=numpy.uint8)
        Image.fromarray(noise).resize((90 + 31 * i, 110), Image.BICUBIC).save(folder / f"{i}.png")
        lines.append(json.dumps({"file": f"{i}.png", "caption": caption}))
    captions = folder.parent / "captions.jsonl"
    captions.write_text("\n".join(lines) + "\n")
    return captions


def shaken(model):
    """Random weights under which embeddings differ."""
    torch.manual_seed(4)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.08)
    return model.float().eval()


class Clip(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_eval(self, *arguments):
        done = program.run_as_user("eval", *arguments, "-q", "--threads", 1)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done

    def check_score(self, model, prepared, texts, name, words):
        captions = make_pictures(self.path / "pictures")
        weights = self.path / "clip.pt"
        with torch.no_grad():
            images = torch.stack([prepared(Image.open(file)) for file in sorted((self.path / "pictures").iterdir())])
            cosines = torch.nn.functional.cosine_similarity(model.encode_image(images), model.encode_text(texts))
            if cosines.sum() < 0:  # random weights may oppose all pictures to all texts, which scores 0
                model.text_projection.neg_()
                cosines = -cosines
        wanted = (100 * cosines).clamp(min=0).mean().item()
        torch.save({"state_dict": {"module." + key: value for key, value in model.state_dict().items()}}, weights)
        done = self.run_eval("pictures", self.path / "pictures", "--clip", weights, "--captions", captions, "--json",
                             self.path / "scores.json")
        self.assertIn(words, done.stdout)
        found = json.loads((self.path / "scores.json").read_text())["clip_score"]
        self.assertGreater(wanted, 1)
        print(f"CLIP score, {name}: {found:.5f}, wanted {wanted:.5f}")
        self.assertLessEqual(abs(found - wanted), SCORES * wanted)

    def test_the_score_is_open_clips(self):
        import open_clip
        from open_clip.transform import image_transform

        model = shaken(open_clip.model.CLIP(
            embed_dim=32,
            vision_cfg={"image_size": 64, "layers": 2, "width": 128, "head_width": 64, "patch_size": 16},
            text_cfg={"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2}))
        self.check_score(model, image_transform((64, 64), is_train=False), open_clip.tokenize(list(CAPTIONS)),
                         "open_clip", "OpenCLIP, 64 px, gelu")

    def test_the_score_is_chinese_clips(self):
        import cn_clip.clip as cn_clip
        from cn_clip.clip.model import CLIP
        from cn_clip.clip.utils import image_transform

        model = shaken(CLIP(
            embed_dim=32, image_resolution=64, vision_layers=2, vision_width=128, vision_patch_size=16,
            vocab_size=21128, text_attention_probs_dropout_prob=0.1, text_hidden_act="gelu",
            text_hidden_dropout_prob=0.1, text_hidden_size=128, text_initializer_range=0.02,
            text_intermediate_size=256, text_max_position_embeddings=512, text_num_attention_heads=2,
            text_num_hidden_layers=2, text_type_vocab_size=2))
        self.check_score(model, image_transform(64), cn_clip.tokenize(list(CAPTIONS)), "cn_clip",
                         "Chinese CLIP, 64 px, quick_gelu")

    def test_a_model_is_drawn_in_shards_goes_on_and_refuses_other_settings(self):
        prompts = self.path / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": f"a {word} apple"}) + "\n" for word in
                                   ("red", "green", "blue")))
        out = self.path / "drawn"
        flags = ["--prompts", prompts, "--out", out, "--steps", 2, "--batch", 2, "--dtype", "f32"]
        self.run_eval("model", *flags, "--shard", "1/2")
        self.assertEqual(sorted(file.name for file in out.glob("*.png")), ["000001.png", "000002.png"])
        before = (out / "000001.png").stat().st_mtime_ns
        (out / "000002.png").unlink()
        done = self.run_eval("model", *flags)
        self.assertIn("3 of 3", done.stdout)
        self.assertEqual((out / "000001.png").stat().st_mtime_ns, before)
        other = program.run("eval", "model", *flags, "--seed", 5, "-q")
        self.assertEqual(other.returncode, 2)
        self.assertIn("drawn_by.json", other.stderr)

    def test_what_is_missing_or_wrong_exits_with_2_and_names_it(self):
        captions = make_pictures(self.path / "pictures")
        few = self.path / "few.jsonl"
        few.write_text(captions.read_text().splitlines()[0] + "\n")
        weights = self.path / "none.safetensors"
        weights.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
        for arguments, words in (
            (["pictures", self.path / "pictures", "--clip", weights, "--captions", few], ["--clip"]),
            (["pictures", self.path / "pictures", "--clip", weights], ["--captions"]),
            (["model", "--out", self.path / "out"], ["--prompts", "--preset"]),
            (["model", "--out", self.path / "out", "--preset", "coco"], ["coco-2014"]),
            (["model", "--out", self.path / "out", "--preset", "coco-2014", "--data", self.path], ["val2014.zip"]),
            (["model", "--out", self.path / "out", "--prompts", weights], ["line 1"]),
        ):
            done = program.run("eval", *arguments, "-q")
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            for word in words:
                self.assertIn(word, done.stderr, arguments)


if __name__ == "__main__":
    unittest.main()
