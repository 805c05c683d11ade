"""Tiny models, adapters and pictures for the tests of `draw`'s flags: of every kind of file that a flag names."""

import torch
from diffusers import AutoencoderTiny, StableDiffusionXLImg2ImgPipeline
from safetensors.torch import save_file

import dump_coop
import dump_pictures
import picture_models as tiny
from pangu_reference import pair


def make_models(folder):
    torch.manual_seed(1)
    words = folder / "words"
    sd15, sdxl = dump_coop.sd15(words), dump_coop.sdxl(words)
    sd15.save_pretrained(folder / "sd15")
    sdxl.save_pretrained(folder / "sdxl")
    StableDiffusionXLImg2ImgPipeline(
        unet=tiny.unet_xl(64, 5, 96, levels=4), text_encoder=None, tokenizer=None, vae=sdxl.vae,
        text_encoder_2=sdxl.text_encoder_2, tokenizer_2=sdxl.tokenizer_2, scheduler=sdxl.scheduler,
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False,
        add_watermarker=False).save_pretrained(folder / "refiner")
    for name in ("net0", "net1"):
        tiny.controlnet(sd15.unet).save_pretrained(folder / name)
    tiny.controlnet(sdxl.unet).save_pretrained(folder / "net_xl")
    (folder / "loras").mkdir()
    for name in ("lora0", "lora1"):
        tensors, _ = dump_pictures.kohya_lora(sd15)
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"loras/{name}.safetensors")
    save_file({"emb_params": torch.randn(2, 64) * 0.5}, folder / "hat.safetensors")
    save_file({"emb_params": torch.randn(2, 48)}, folder / "wide.safetensors")
    tiny.vae(0.18215).save_pretrained(folder / "vae")
    tiny.louder(AutoencoderTiny(encoder_block_out_channels=(32,) * 4,
                                decoder_block_out_channels=(32,) * 4)).save_pretrained(folder / "taesd")
    for k in range(2):
        dump_pictures.photograph(96, 64, k).save(folder / f"picture{k}.png")
    pair.write_tiny_pair(folder / "pangu")
