"""Whole pictures by diffusers' own pipelines, for tests/parity/pictures_test.cpp.

  dump_pictures.py OUT_DIR

OUT_DIR/models/NAME is each pipeline in diffusers' layout (tiny, random weights), OUT_DIR/N.png what case N drew,
OUT_DIR/cases.json the requests: {name, picture, model, request, refiner?, refiner_start?, controlnets?, loras?,
embeddings?, vae?}. A name is "[single ]FAMILY TASK[: DETAIL]" in the words of tools/models_page.py; the single
files are in single_pictures.py. f32, one torch.Generator("cpu") an image. Layers are skipped without guidance only:
diffusers skips none for the negative prompt, ours and the web UIs do.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from diffusers import (AutoencoderTiny, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, HeunDiscreteScheduler, StableDiffusionControlNetPipeline,
                       StableDiffusionImageVariationPipeline, StableDiffusionImg2ImgPipeline,
                       StableDiffusionInpaintPipeline, StableDiffusionPipeline,
                       StableDiffusionXLControlNetPipeline, StableDiffusionXLImg2ImgPipeline,
                       StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline, UniPCMultistepScheduler)
from PIL import Image
from safetensors.torch import load_file, save_file

import picture_models as tiny
import single_pictures
from picture_models import PROMPT, SIZE, mask, photograph, quiet

SEED = 11

# Our sampler and schedule -> diffusers' scheduler.
SCHEDULERS = {
    ("euler", "normal"): (EulerDiscreteScheduler, {}),
    ("euler", "karras"): (EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    ("euler_a", "normal"): (EulerAncestralDiscreteScheduler, {}),
    ("heun", "normal"): (HeunDiscreteScheduler, {}),
    ("ddim", "normal"): (type(tiny.scheduler()), {}),
    ("dpmpp_2m", "normal"): (DPMSolverMultistepScheduler, {"final_sigmas_type": "zero"}),
    ("unipc", "normal"): (UniPCMultistepScheduler, {"final_sigmas_type": "zero"}),
}


class Dump:
    def __init__(self, out):
        self.out = pathlib.Path(out)
        self.cases = []
        self.pictures = {}

    def image(self, name, picture):
        path = self.out / f"{name}.png"
        picture.save(path)
        return str(path)

    def draw(self, name, pipeline, model, sampler, call=None, request=None, finish=None, unlike=None, **extra):
        """`finish`: picture -> picture, where the program does more than the pipeline; `unlike`: a case whose
        picture must be another one."""
        maker, options = SCHEDULERS[sampler]
        trained = {"prediction_type": pipeline.scheduler.config.prediction_type}
        pipeline.scheduler = maker.from_config(tiny.scheduler(**trained).config, **options)
        pipeline.set_progress_bar_config(disable=True)
        arguments = {"num_inference_steps": 6, "guidance_scale": 5.0, "num_images_per_prompt": 1,
                     "generator": torch.Generator("cpu").manual_seed(SEED), **(call or {})}
        picture = pipeline(**arguments).images[0]
        if finish:
            picture = finish(picture)
        self.pictures[name] = np.asarray(picture, float)
        if unlike:
            assert np.abs(self.pictures[name] - self.pictures[unlike]).mean() > 1, f"{name} is {unlike}"
        asked = {"prompt": PROMPT, "steps": arguments["num_inference_steps"],
                 "guidance": arguments["guidance_scale"], "seed": SEED, "noise": "torch-cpu",
                 "sampler": sampler[0], "schedule": sampler[1], **SIZE, **(request or {})}
        self.cases.append({"name": name, "picture": self.image(str(len(self.cases)), picture), "model": model,
                           "request": asked, **extra})

    def save(self, pipeline, name):
        folder = self.out / "models" / name
        pipeline.save_pretrained(folder)
        return str(folder)


def stable_diffusion_1(dump, folder):
    torch.manual_seed(1)
    parts = {"vae": tiny.vae(0.18215), "unet": tiny.unet_sd(), "scheduler": tiny.scheduler(),
             "text_encoder": tiny.text_encoder(64, 3, "quick_gelu"),
             "tokenizer": tiny.tokenizer(folder / "sd1", "<|endoftext|>")}
    pipeline = quiet(StableDiffusionPipeline, **parts)
    model = dump.save(pipeline, "sd15")
    text = {"prompt": PROMPT, "negative_prompt": "blurry", **SIZE}
    for sampler in SCHEDULERS:
        dump.draw(f"sd15 text to image: {' '.join(sampler)}", pipeline, model, sampler, text, {"negative": "blurry"})
    dump.draw("sd15 text to image: clip skip", pipeline, model, ("euler", "normal"), 
              {"prompt": PROMPT, "clip_skip": 1, "guidance_scale": 1.0, **SIZE}, {"clip_skip": 2})
    dump.draw("sd15 text to image: guidance rescale", pipeline, model, ("euler", "normal"),
              {**text, "guidance_rescale": 0.7}, {"negative": "blurry", "guidance_rescale": 0.7})
    weighted, against = "a (photo:1.4) of a [cat] BREAK with a ((straw hat)), smiling", "(blurry:1.2)"
    dump.draw("sd15 text to image: weights, two chunks", pipeline, model, ("euler", "normal"),
              {"prompt_embeds": tiny.read_weighted(pipeline, weighted, 2),
               "negative_prompt_embeds": tiny.read_weighted(pipeline, against, 2), **SIZE},
              {"prompt": weighted, "negative": against})

    # Folders from before diffusers 0.15 name the autoencoder's attention otherwise.
    old = shutil.copytree(model, f"{model}_of_old")
    weights = next(pathlib.Path(old, "vae").glob("*.safetensors"))
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in load_file(weights).items():
        for new, before in names.items():
            name = name.replace(f".{new}.", f".{before}.")
        renamed[name] = tensor
    save_file(renamed, weights)
    dump.draw("sd15 text to image: folder with old names", pipeline, old, ("euler", "normal"), text, {"negative": "blurry"})

    start = photograph(**SIZE, seed=1)
    pipeline = quiet(StableDiffusionImg2ImgPipeline, **parts)
    for strength in (0.5, 1.0):
        dump.draw(f"sd15 image to image: {strength}", pipeline, model, ("ddim", "normal"),
                  {"prompt": PROMPT, "image": start, "strength": strength},
                  {"init_image": dump.image("start", start), "strength": strength})
    pipeline = quiet(StableDiffusionInpaintPipeline, **parts)
    holes = mask(**SIZE)
    for strength in (0.6, 1.0):
        dump.draw(f"sd15 inpainting: {strength}", pipeline, model, ("ddim", "normal"),
                  {"prompt": PROMPT, "image": start, "mask_image": holes, "strength": strength, **SIZE},
                  {"init_image": dump.image("start", start), "mask_image": dump.image("mask", holes),
                   "strength": strength, "mask_blur": 0, "composite": False})

    nets, folders = [], []
    for k in range(2):
        nets.append(tiny.controlnet(parts["unet"]))
        folders.append(str(dump.out / "models" / f"controlnet{k}"))
        nets[k].save_pretrained(folders[k])
    hints = [photograph(**SIZE, seed=7 + k) for k in range(2)]
    files = [dump.image(f"hint{k}", hints[k]) for k in range(2)]
    dump.draw("sd15 controlnet", quiet(StableDiffusionControlNetPipeline, controlnet=nets[0], **parts), model,
              ("euler", "normal"), {"prompt": PROMPT, "image": hints[0], "controlnet_conditioning_scale": 0.8},
              {"controls": [{"image": files[0], "weight": 0.8, "from": 0.0, "to": 1.0}]}, controlnets=folders[:1])
    dump.draw("sd15 controlnet: two in ranges",
              quiet(StableDiffusionControlNetPipeline, controlnet=nets, **parts), model, ("euler", "normal"),
              {"prompt": PROMPT, "image": hints, "controlnet_conditioning_scale": [0.8, 0.5],
               "control_guidance_start": [0.0, 0.3], "control_guidance_end": [0.6, 1.0]},
              {"controls": [{"image": files[0], "weight": 0.8, "from": 0.0, "to": 0.6},
                            {"image": files[1], "weight": 0.5, "from": 0.3, "to": 1.0}]}, controlnets=folders)

    parts["unet"] = tiny.unet_sd(in_channels=9)
    pipeline = quiet(StableDiffusionInpaintPipeline, **parts)
    model = dump.save(pipeline, "sd15_inpaint")
    for strength in (0.6, 1.0):
        dump.draw(f"sd15 inpainting model: {strength}", pipeline, model, ("ddim", "normal"),
                  {"prompt": PROMPT, "image": start, "mask_image": holes, "strength": strength, **SIZE},
                  {"init_image": dump.image("start", start), "mask_image": dump.image("mask", holes),
                   "strength": strength, "mask_blur": 0, "composite": False})
    dump.draw("sd15 inpainting model: soft edge", pipeline, model, ("euler", "normal"),
              {"prompt": PROMPT, "image": start, "mask_image": holes, "strength": 1.0, **SIZE},
              {"init_image": dump.image("start", start), "mask_image": dump.image("mask", holes),
               "strength": 1.0, "mask_blur": 4, "composite": True},
              finish=lambda drawn: Image.composite(drawn, start, tiny.blurred(holes, 4)))


def kohya_lora(pipeline, rank=4, alpha=2.0):
    """A LoRA of every attention projection, in kohya's naming, and its changes of the weights."""
    tensors, changes = {}, []
    for prefix, module in (("lora_unet", pipeline.unet), ("lora_te", pipeline.text_encoder)):
        for name, part in module.named_modules():
            if not name.endswith(("to_q", "to_k", "to_v", "to_out.0", "q_proj", "v_proj", "ff.net.0.proj")):
                continue
            down = torch.randn(rank, part.in_features) / part.in_features**0.5
            up = torch.randn(part.out_features, rank) / rank**0.5
            if prefix == "lora_te" and not name.startswith("text_model."):
                name = "text_model." + name
            key = f"{prefix}_{name.replace('.', '_')}"
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up,
                        f"{key}.alpha": torch.tensor(alpha)}
            changes.append((part.weight, alpha / rank * up @ down))
    return tensors, changes


def adapters(dump, folder):
    """LoRAs, a textual inversion and a tiny autoencoder over one model."""
    torch.manual_seed(5)
    pipeline = quiet(StableDiffusionPipeline, vae=tiny.vae(0.18215), unet=tiny.unet_sd(),
                     scheduler=tiny.scheduler(), text_encoder=tiny.text_encoder(64, 3, "quick_gelu"),
                     tokenizer=tiny.tokenizer(folder / "adapters", "<|endoftext|>"))
    model = dump.save(pipeline, "adapters")
    text = {"prompt": PROMPT, **SIZE}
    merged, files = [], []
    for number, weight in ((0, 0.8), (1, -0.3)):
        tensors, changes = kohya_lora(pipeline)
        files.append({"path": str(dump.out / f"lora{number}.safetensors"), "weight": weight})
        save_file(tensors, files[-1]["path"])
        merged += [(parameter, weight * change) for parameter, change in changes]
    for parameter, change in merged:
        parameter += change
    dump.draw("sd15 LoRA: two", pipeline, model, ("euler", "normal"), text, loras=files)
    for parameter, change in merged:
        parameter -= change

    word = dump.out / "embedding.safetensors"
    save_file({"<straw-hat>": torch.randn(64) * 0.5}, word)
    pipeline.load_textual_inversion(load_file(word), token="<straw-hat>")
    prompt = "a cat with <straw-hat>, smiling"
    dump.draw("sd15 textual inversion", pipeline, model, ("euler", "normal"), {"prompt": prompt, **SIZE},
              {"prompt": prompt}, embeddings=[str(word)])

    pipeline.vae = tiny.louder(AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4))
    tiny_vae = str(dump.out / "models" / "taesd")
    pipeline.vae.save_pretrained(tiny_vae)
    dump.draw("sd15 tiny autoencoder", pipeline, model, ("euler", "normal"), text, vae=tiny_vae)


def stable_diffusion_2(dump, folder):
    torch.manual_seed(2)
    for name, prediction in (("sd21", "epsilon"), ("sd21v", "v_prediction")):
        pipeline = quiet(StableDiffusionPipeline, vae=tiny.vae(0.18215), unet=tiny.unet_sd(linear=True),
                         scheduler=tiny.scheduler(prediction_type=prediction),
                         text_encoder=tiny.text_encoder(64, 3, "gelu"),
                         tokenizer=tiny.tokenizer(folder / name, "!"))
        model = dump.save(pipeline, name)
        for sampler in (("ddim", "normal"), ("euler_a", "normal")):
            dump.draw(f"{name} text to image: {' '.join(sampler)}", pipeline, model, sampler, {"prompt": PROMPT, **SIZE})


def sdxl(dump, folder):
    torch.manual_seed(3)
    shared = {"vae": tiny.vae(0.13025), "scheduler": tiny.scheduler(),
              "text_encoder_2": tiny.text_encoder(96, 3, "gelu", projection=64),
              "tokenizer_2": tiny.tokenizer(folder / "xl2", "!")}
    pipeline = StableDiffusionXLPipeline(
        unet=tiny.unet_xl(64, 6, 64 + 96, levels=3), text_encoder=tiny.text_encoder(64, 3, "quick_gelu"),
        tokenizer=tiny.tokenizer(folder / "xl1", "<|endoftext|>"), add_watermarker=False, **shared)
    model = dump.save(pipeline, "sdxl")
    dump.draw("sdxl text to image", pipeline, model, ("euler", "normal"), {"prompt": PROMPT, **SIZE})
    dump.draw("sdxl text to image: negative", pipeline, model, ("ddim", "normal"),
              {"prompt": PROMPT, "negative_prompt": "ugly, old", **SIZE}, {"negative": "ugly, old"})
    dump.draw("sdxl text to image: clip skip", pipeline, model, ("euler", "normal"),
              {"prompt": PROMPT, "clip_skip": 1, "guidance_scale": 1.0, **SIZE}, {"clip_skip": 2})

    refiner = StableDiffusionXLImg2ImgPipeline(
        unet=tiny.unet_xl(64, 5, 96, levels=4), text_encoder=None, tokenizer=None,
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False, **shared)
    refiner_model = dump.save(refiner, "refiner")
    start = photograph(**SIZE, seed=2)
    dump.draw("refiner image to image", refiner, refiner_model, ("ddim", "normal"),
              {"prompt": PROMPT, "image": start, "strength": 0.5},
              {"init_image": dump.image("start_xl", start), "strength": 0.5})

    dump.draw("sdxl with refiner", tiny.Together(pipeline, refiner), model, ("euler", "normal"),
              {"prompt": PROMPT, "negative_prompt": "ugly", "num_inference_steps": 10}, {"negative": "ugly"},
              refiner=refiner_model, refiner_start=0.6)
    sdxl_tasks(dump, pipeline, model, start)


def sdxl_tasks(dump, pipeline, model, start):
    """From a picture, around a mask, along a ControlNet's hint."""
    parts = {**pipeline.components, "add_watermarker": False}
    begin = {"prompt": PROMPT, "image": start, "strength": 0.5}
    asked = {"init_image": dump.image("start_xl", start), "strength": 0.5}
    dump.draw("sdxl image to image", StableDiffusionXLImg2ImgPipeline(**parts), model, ("euler", "normal"), begin,
              asked)
    holes = mask(**SIZE)
    dump.draw("sdxl inpainting", StableDiffusionXLInpaintPipeline(**parts), model, ("euler", "normal"),
              {**begin, "mask_image": holes, **SIZE},
              {**asked, "mask_image": dump.image("mask", holes), "mask_blur": 0, "composite": False})
    net = tiny.controlnet(pipeline.unet)
    folder = str(dump.out / "models" / "controlnet_xl")
    net.save_pretrained(folder)
    hint = photograph(**SIZE, seed=9)
    dump.draw("sdxl controlnet", StableDiffusionXLControlNetPipeline(**parts, controlnet=net), model,
              ("euler", "normal"), {"prompt": PROMPT, "image": hint, "controlnet_conditioning_scale": 0.7},
              {"controls": [{"image": dump.image("hint_xl", hint), "weight": 0.7, "from": 0.0, "to": 1.0}]},
              unlike="sdxl text to image", controlnets=[folder])


def image_variations(dump):
    torch.manual_seed(4)
    encoder, processor = tiny.image_encoder(64, 48)
    pipeline = StableDiffusionImageVariationPipeline(
        vae=tiny.vae(0.18215), unet=tiny.unet_sd(context=48), image_encoder=encoder,
        scheduler=tiny.scheduler(), safety_checker=None, feature_extractor=processor,
        requires_safety_checker=False)
    model = dump.save(pipeline, "variations")
    picture = photograph(96, 80, seed=3)
    dump.draw("variations image prompt", pipeline, model, ("euler", "normal"), {"image": picture, **SIZE},
              {"prompt": "", "image_prompt": dump.image("prompt", picture)})


def main():
    dump = Dump(sys.argv[1])
    (dump.out / "models").mkdir(parents=True, exist_ok=True)
    tokenizers = dump.out / "tokenizers"
    with torch.no_grad():
        stable_diffusion_1(dump, tokenizers)
        stable_diffusion_2(dump, tokenizers)
        sdxl(dump, tokenizers)
        image_variations(dump)
        adapters(dump, tokenizers)
        single_pictures.draw_all(dump)
    (dump.out / "cases.json").write_text(json.dumps(dump.cases, indent=1))


if __name__ == "__main__":
    main()
