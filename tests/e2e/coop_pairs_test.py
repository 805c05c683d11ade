"""Pairs that people have files of, with random weights at tiny size: what belongs to one model (a ControlNet, a LoRA,
a picture to vary) steers the picture of another in another latent space.

Usage: coop_pairs_test.py PROGRAM. Skipped (77) without diffusers.
"""

import pathlib
import tempfile
import unittest

from png_file import png_pixels
from program import reference_imports, run_as_user

with reference_imports("tools/parity", "tools"):
    import diffusers
    import safetensors.torch
    import torch
    import dump_coop
    import dump_pictures
    import picture_models as tiny
    from pangu_reference import pair


class Pairs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        torch.manual_seed(1)
        words = cls.folder / "words"
        cls.sd15, sdxl = dump_coop.sd15(words), dump_coop.sdxl(words)
        cls.sd15.save_pretrained(cls.folder / "sd15")
        sdxl.save_pretrained(cls.folder / "sdxl")
        for k in range(2):
            dump_pictures.photograph(96, 64, k).save(cls.folder / f"picture{k}.png")

    def draw(self, hub, size, *withs, fails=None):
        out = self.folder / "out.png"
        flags = [flag for text in withs for flag in ("--with", text)]
        done = run_as_user(
            "draw", "a red fox", "--model", self.folder / hub, "--size", size, "--steps", "3", "--seed", "5",
            "--dtype", "f32", "--threads", "1", "--quiet", *flags, "--out", out, "--overwrite")
        if fails:
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(fails, done.stderr)
            return None
        self.assertEqual(done.returncode, 0, done.stderr)
        return png_pixels(out)

    def check_steers(self, hub, size, first, second):
        """Two different inputs of the member give two pictures, and neither counts without weight."""
        alone = self.draw(hub, size)
        found = [self.draw(hub, size, text) for text in (first, second)]
        self.assertEqual(found[0], self.draw(hub, size, first))
        self.assertNotEqual(found[0], found[1])
        self.assertNotEqual(found[0], alone)
        self.assertEqual(self.draw(hub, size, first + ",weight=0"), alone)

    def test_a_controlnet_of_sd15_steers_sdxl(self):
        net = self.folder / "controlnet"
        tiny.controlnet(self.sd15.unet).save_pretrained(net)
        member = f"{self.folder}/sd15,size=96x64,controlnet={net}"
        self.check_steers("sdxl", "96x64", *(f"{member},control={self.folder}/picture{k}.png" for k in range(2)))
        self.draw("sdxl", "96x64", member, fails="control_image")

    def test_a_lora_of_sd15_steers_pangu_draw_3(self):
        tensors, _ = dump_pictures.kohya_lora(self.sd15)
        lora = self.folder / "lora.safetensors"
        safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, lora)
        pair.write_tiny_pair(self.folder / "pangu")
        member = f"{self.folder}/sd15,size=64x64,lora={lora}"
        self.check_steers("pangu", "512x512", f"{member}:1.0", f"{member}:-1.0")

    def test_a_picture_to_vary_steers_sdxl(self):
        encoder, processor = tiny.image_encoder(64, 48)
        diffusers.StableDiffusionImageVariationPipeline(
            vae=tiny.vae(0.18215), unet=tiny.unet_sd(context=48), image_encoder=encoder, scheduler=tiny.scheduler(),
            safety_checker=None, feature_extractor=processor,
            requires_safety_checker=False).save_pretrained(self.folder / "variations")
        member = f"{self.folder}/variations,size=96x64"
        self.check_steers("sdxl", "96x64", *(f"{member},image_prompt={self.folder}/picture{k}.png" for k in range(2)))
        self.draw("sdxl", "96x64", member, fails="image_prompt")


if __name__ == "__main__":
    unittest.main()
