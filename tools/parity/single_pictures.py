"""Draws pictures of LDM single files, for dump_pictures.py: diffusers draws from the folder of the same weights.

Files and folders are those of dump_checkpoints.py: every family that people have single files of, LoRAs in the three
namings (with convolutions, with LDM's blocks), a ControlNet in LDM's names.
"""

import copy

import torch
from diffusers import (ControlNetModel, StableDiffusionImageVariationPipeline, StableDiffusionInpaintPipeline,
                       StableDiffusionPipeline, StableDiffusionXLControlNetPipeline, StableDiffusionXLImg2ImgPipeline,
                       StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline)
from PIL import Image
from transformers import CLIPImageProcessor

import checkpoint_adapters
import dump_checkpoints
import picture_models as tiny
from picture_models import PROMPT, SIZE, mask, photograph

EULER, KARRAS = ("euler", "normal"), ("dpmpp_2m", "karras")
PLAIN = ("no negative prompt", {"negative": ""})
NORMAL = ("schedule normal", {"schedule": "normal"})
STEPS = {"num_inference_steps": 3}
TEXT = {"prompt": PROMPT, "negative_prompt": "blurry", **SIZE, **STEPS}
NEGATIVE = {"negative": "blurry"}
LORA_WEIGHT = 0.8


class Singles:
    def __init__(self, dump):
        self.dump, self.made = dump, {}

    def case(self, name):
        if name not in self.made:
            paths = dump_checkpoints.make_case(name, self.dump.out / "checkpoints")
            self.made[name] = {what: str(path) for what, path in paths.items()}
        return self.made[name]

    def open(self, name, kind, **more):
        """Opens the folder as a pipeline of diffusers in f32; returns it and the path of the single file."""
        found = self.case(name)
        return kind.from_pretrained(found["folder"], torch_dtype=torch.float32, **more), found["single"]

    def lora(self, name, pipeline, model, case):
        """Draws with a LoRA's file; diffusers draws with the changes in its weights."""
        found, changed = self.case(case), copy.copy(pipeline)
        for part in {"unet", "text_encoder", "text_encoder_2"} & pipeline.components.keys():
            setattr(changed, part, copy.deepcopy(getattr(pipeline, part)))
        checkpoint_adapters.merged(changed, found["expected"], LORA_WEIGHT)
        self.dump.draw(name, changed, model, EULER, TEXT, NEGATIVE, change=("no LoRA", {"loras": None}),
                       loras=[{"path": found["single"], "weight": LORA_WEIGHT}])

    def inpainting(self, name, case, kind):
        pipeline, model = self.open(case, kind)
        start, holes = photograph(**SIZE, seed=4), mask(**SIZE)
        whole = self.dump.image("all", Image.new("RGB", start.size, "white"))
        self.dump.draw(name, pipeline, model, EULER,
                       {"prompt": PROMPT, "image": start, "mask_image": holes, "strength": 1.0, **SIZE, **STEPS},
                       {"init_image": self.dump.image("start_single", start), "strength": 1.0,
                        "mask_image": self.dump.image("mask", holes), "mask_blur": 0, "composite": False},
                       change=("all of the picture drawn anew", {"mask_image": whole}))


def stable_diffusion(singles):
    draw = singles.dump.draw
    pipeline, model = singles.open("sd1", StableDiffusionPipeline)
    draw("single sd15 text to image", pipeline, model, EULER, TEXT, NEGATIVE, change=PLAIN)
    draw("single sd15 text to image: dpmpp_2m karras", pipeline, model, KARRAS, TEXT, NEGATIVE, change=NORMAL)
    singles.lora("single sd15 LoRA: kohya, convolutions", pipeline, model, "lora_kohya_sd1")
    singles.lora("single sd15 LoRA: PEFT, convolutions", pipeline, model, "lora_peft_sd1")
    pipeline, model = singles.open("sd2_v", StableDiffusionPipeline)
    draw("single sd21v text to image", pipeline, model, EULER, TEXT, NEGATIVE, change=PLAIN)
    draw("single sd21v text to image: dpmpp_2m karras", pipeline, model, KARRAS, TEXT, NEGATIVE, change=NORMAL)
    singles.inpainting("single sd21 inpainting model", "sd2_inpaint", StableDiffusionInpaintPipeline)
    pipeline, model = singles.open("image_variations", StableDiffusionImageVariationPipeline,
                                   feature_extractor=CLIPImageProcessor())
    picture = photograph(300, 260, seed=3)
    draw("single variations image prompt", pipeline, model, EULER, {"image": picture, **SIZE, **STEPS},
         {"prompt": "", "image_prompt": singles.dump.image("prompt_single", picture)},
         change=("another picture", {"image_prompt": singles.dump.image("prompt2", photograph(300, 260, seed=4))}))


def sdxl(singles):
    draw = singles.dump.draw
    pipeline, model = singles.open("sdxl", StableDiffusionXLPipeline)
    draw("single sdxl text to image", pipeline, model, EULER, TEXT, NEGATIVE, change=PLAIN)
    draw("single sdxl text to image: dpmpp_2m karras", pipeline, model, KARRAS, TEXT, NEGATIVE, change=NORMAL)
    cut, cut_model = singles.open("ssd_1b", StableDiffusionXLPipeline)
    draw("single ssd1b text to image", cut, cut_model, EULER, TEXT, NEGATIVE, change=PLAIN)
    singles.lora("single sdxl LoRA: kohya, blocks of LDM", pipeline, model, "lora_kohya_sdxl_ldm")
    singles.lora("single sdxl LoRA: diffusers", pipeline, model, "lora_diffusers_sdxl")

    refiner, refiner_model = singles.open("sdxl_refiner", StableDiffusionXLImg2ImgPipeline)
    refiner.vae = pipeline.vae  # its own is the same in bf16
    draw("single sdxl with refiner", tiny.Together(pipeline, refiner), model, EULER,
         {"prompt": PROMPT, "negative_prompt": "ugly", "num_inference_steps": 5}, {"negative": "ugly"},
         refiner=refiner_model, refiner_start=0.6, change=("no refiner", {"refiner": None}))

    control = singles.case("controlnet_sdxl")
    net, hint = ControlNetModel.from_pretrained(control["folder"]), photograph(**SIZE, seed=9)
    draw("single sdxl controlnet", StableDiffusionXLControlNetPipeline(**pipeline.components, controlnet=net), model,
         EULER, {**TEXT, "image": hint, "controlnet_conditioning_scale": 0.7},
         {**NEGATIVE, "controls": [{"image": singles.dump.image("hint_single", hint), "weight": 0.7, "from": 0.0,
                                    "to": 1.0}]},
         change=("no control", {"controls": None, "controlnets": None}), controlnets=[control["single"]])
    singles.inpainting("single sdxl inpainting model", "sdxl_inpaint", StableDiffusionXLInpaintPipeline)


def draw_all(dump):
    singles = Singles(dump)
    stable_diffusion(singles)
    sdxl(singles)
