"""Draws whole pictures by diffusers' own pipelines, for tests/parity/pictures_test.cpp.

  dump_pictures.py OUT_DIR

OUT_DIR/models/NAME is each pipeline in diffusers' layout (tiny, random weights), OUT_DIR/N.png are pictures,
OUT_DIR/cases.json the cases: {name, pictures, model, request, refiner?, refiner_start?, controlnets?, loras?,
embeddings?, vae?, change, rivals}. `pictures` has one for each seed of the request. A name is "[single ]FAMILY
TASK[: DETAIL]" in the words of tools/parity_page.py. f32, one torch.Generator("cpu") an image.

`change` {setting, patch} names the setting that the case tests: the patch, merged into the case, gives it another
value, and the picture must then differ. `rivals` {ours, theirs, differs, picture} are pictures of other programs where
they differ from the reference that this program follows (picture_schedulers.py).

The single files are in single_pictures.py, samplers and schedules in sampling_pictures.py.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from diffusers import (AutoencoderTiny, StableDiffusionControlNetPipeline, StableDiffusionImageVariationPipeline,
                       StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline,
                       StableDiffusionXLControlNetPipeline, StableDiffusionXLImg2ImgPipeline,
                       StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline)
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file

import picture_models as tiny
import sampling_pictures
import single_pictures
from picture_models import PROMPT, SIZE, mask, photograph, quiet
from picture_schedulers import SCHEDULERS, rival

SEED = 11
OTHER_PROMPT = ("another prompt", {"prompt": "an old bridge over a river"})
NO_NEGATIVE = ("no negative prompt", {"negative": ""})
NO_CONTROL = ("no control", {"controls": None, "controlnets": None})

# Fields of a change that belong to the case, not to its request.
OF_CASE = ("model", "refiner", "refiner_start", "controlnets", "loras", "embeddings", "vae")


class Dump:
    def __init__(self, out):
        self.out = pathlib.Path(out)
        self.cases, self.pictures, self.seed = [], 0, SEED

    def image(self, name, picture):
        path = self.out / f"{name}.png"
        picture.save(path)
        return str(path)

    def drawn(self, pipeline, scheduler, call, seed, finish=None):
        """Returns the file of the picture that the pipeline draws with a scheduler (class, options) and arguments of
        its call."""
        maker, options = scheduler
        trained = {key: pipeline.scheduler.config[key] for key in ("prediction_type", "trained_betas")}
        pipeline.scheduler = maker.from_config(tiny.scheduler(**trained).config, **options)
        pipeline.set_progress_bar_config(disable=True)
        picture = pipeline(**call, generator=torch.Generator("cpu").manual_seed(seed)).images[0]
        self.pictures += 1
        return self.image(str(self.pictures), finish(picture) if finish else picture)

    def draw(self, name, pipeline, model, sampler, call=None, request=None, *, change, scheduler=None, finish=None,
             rivals=(), **extra):
        """`change`: (words, fields); `scheduler`: one that is not of SCHEDULERS; `finish`: picture -> picture, where
        the program does more than the pipeline; `rivals`: what others do, each drawn with its own arguments."""
        request = request or {}
        call = {"num_inference_steps": 6, "guidance_scale": 5.0, "num_images_per_prompt": 1, **(call or {})}
        maker, options = scheduler or SCHEDULERS[sampler]
        placed = {"timestep_spacing": request["spacing"]} if "spacing" in request else {}

        def one(seed=SEED, scheduler=(maker, options), finish=finish, **other):
            made = (scheduler[0], {**placed, **scheduler[1]})
            return self.drawn(pipeline, made, {**call, **other.get("call", {})}, seed, finish)

        setting, fields = change
        of_case = {key: value for key, value in fields.items() if key in OF_CASE}
        of_request = {key: value for key, value in fields.items() if key not in OF_CASE}
        self.cases.append({
            "name": name, "model": model, "pictures": [one(SEED + i) for i in range(request.get("count", 1))],
            "request": {"prompt": PROMPT, "steps": call["num_inference_steps"], "guidance": call["guidance_scale"],
                        "seed": SEED, "noise": "torch-cpu", "sampler": sampler[0], "schedule": sampler[1], **SIZE,
                        **request},
            "change": {"setting": setting, "patch": {**of_case, "request": of_request}},
            "rivals": [{"picture": one(**each.pop("other")), **each} for each in map(dict, rivals)],
            **extra})

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
    sampling_pictures.samplers(dump, pipeline, model)
    skipped = pipeline.encode_prompt("blurry", "cpu", 1, False, clip_skip=1)[0]
    clip_skip = rival("layers are skipped for the negative prompt too, as A1111 and ComfyUI",
                      "diffusers: for the prompt alone",
                      call={"negative_prompt_embeds": None, "negative_prompt": "blurry"})
    dump.draw("sd15 text to image: clip skip", pipeline, model, ("euler", "normal"),
              {"prompt": PROMPT, "clip_skip": 1, "negative_prompt_embeds": skipped, **SIZE},
              {"clip_skip": 2, "negative": "blurry"}, change=("clip skip 1", {"clip_skip": 1}), rivals=[clip_skip])
    dump.draw("sd15 text to image: guidance rescale", pipeline, model, ("euler", "normal"),
              {**text, "guidance_rescale": 0.7}, {"negative": "blurry", "guidance_rescale": 0.7},
              change=("no rescale", {"guidance_rescale": 0.0}))
    weighted, against = "a (photo:1.4) of a [cat] BREAK with a ((straw hat)), smiling", "(blurry:1.2)"
    dump.draw("sd15 text to image: weights, two chunks", pipeline, model, ("euler", "normal"),
              {"prompt_embeds": tiny.read_weighted(pipeline, weighted, 2),
               "negative_prompt_embeds": tiny.read_weighted(pipeline, against, 2), **SIZE},
              {"prompt": weighted, "negative": against},
              change=("weight 1.3 instead of 1.4", {"prompt": weighted.replace("1.4", "1.3")}))

    # Folders from before diffusers 0.15 name the autoencoder's attention otherwise.
    old = shutil.copytree(model, f"{model}_of_old")
    weights = next(pathlib.Path(old, "vae").glob("*.safetensors"))
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed, zeros = {}, {}
    for name, tensor in load_file(weights).items():
        attends = any(f".{new}." in name for new in names)
        for new, before in names.items():
            name = name.replace(f".{new}.", f".{before}.")
        renamed[name] = tensor
        zeros[name] = torch.zeros_like(tensor) if attends else tensor
    save_file(renamed, weights)
    idle = shutil.copytree(old, f"{model}_idle")
    save_file(zeros, pathlib.Path(idle, "vae", weights.name))
    dump.draw("sd15 text to image: folder with old names", pipeline, old, ("euler", "normal"), text,
              {"negative": "blurry"}, change=("zeros in the renamed tensors", {"model": idle}))

    start = photograph(**SIZE, seed=1)
    pipeline = quiet(StableDiffusionImg2ImgPipeline, **parts)
    for strength in (0.5, 1.0):
        dump.draw(f"sd15 image to image: {strength}", pipeline, model, ("ddim", "normal"),
                  {"prompt": PROMPT, "image": start, "strength": strength},
                  {"init_image": dump.image("start", start), "strength": strength},
                  change=("strength 0.8", {"strength": 0.8}))
    sampling_pictures.from_picture(dump, "sd15", pipeline, model, start)
    pipeline = quiet(StableDiffusionInpaintPipeline, **parts)
    holes = mask(**SIZE)
    whole = Image.new("RGB", holes.size, "white")
    no_mask = ("all of the picture drawn anew", {"mask_image": dump.image("all", whole)})
    for strength in (0.6, 1.0):
        dump.draw(f"sd15 inpainting: {strength}", pipeline, model, ("ddim", "normal"),
                  {"prompt": PROMPT, "image": start, "mask_image": holes, "strength": strength, **SIZE},
                  {"init_image": dump.image("start", start), "mask_image": dump.image("mask", holes),
                   "strength": strength, "mask_blur": 0, "composite": False}, change=no_mask)

    nets, folders = [], []
    for k in range(2):
        nets.append(tiny.controlnet(parts["unet"]))
        folders.append(str(dump.out / "models" / f"controlnet{k}"))
        nets[k].save_pretrained(folders[k])
    hints = [photograph(**SIZE, seed=7 + k) for k in range(2)]
    files = [dump.image(f"hint{k}", hints[k]) for k in range(2)]
    dump.draw("sd15 controlnet", quiet(StableDiffusionControlNetPipeline, controlnet=nets[0], **parts), model,
              ("euler", "normal"), {"prompt": PROMPT, "image": hints[0], "controlnet_conditioning_scale": 0.8},
              {"controls": [{"image": files[0], "weight": 0.8, "from": 0.0, "to": 1.0}]}, controlnets=folders[:1],
              change=NO_CONTROL)
    sampling_pictures.window(dump, "sd15", quiet(StableDiffusionControlNetPipeline, controlnet=nets[0], **parts), model,
                             folders[0], hints[0], 1, 8)
    windows = [{"image": files[0], "weight": 0.8, "from": 0.0, "to": 0.6},
               {"image": files[1], "weight": 0.5, "from": 0.3, "to": 1.0}]
    dump.draw("sd15 controlnet: two in ranges",
              quiet(StableDiffusionControlNetPipeline, controlnet=nets, **parts), model, ("euler", "normal"),
              {"prompt": PROMPT, "image": hints, "controlnet_conditioning_scale": [0.8, 0.5],
               "control_guidance_start": [0.0, 0.3], "control_guidance_end": [0.6, 1.0]}, {"controls": windows},
              controlnets=folders,
              change=("to 0.8 instead of 0.6", {"controls": [{**windows[0], "to": 0.8}, windows[1]]}))

    parts["unet"] = tiny.unet_sd(in_channels=9)
    pipeline = quiet(StableDiffusionInpaintPipeline, **parts)
    model = dump.save(pipeline, "sd15_inpaint")
    for strength in (0.6, 1.0):
        dump.draw(f"sd15 inpainting model: {strength}", pipeline, model, ("ddim", "normal"),
                  {"prompt": PROMPT, "image": start, "mask_image": holes, "strength": strength, **SIZE},
                  {"init_image": dump.image("start", start), "mask_image": dump.image("mask", holes),
                   "strength": strength, "mask_blur": 0, "composite": False}, change=no_mask)
    boxed = holes.convert("L").filter(ImageFilter.GaussianBlur(4))
    boxes = rival("the mask's edge is a Gaussian", "diffusers: Pillow's blur, which is three boxes",
                  finish=lambda drawn: Image.composite(drawn, start, boxed))
    dump.draw("sd15 inpainting model: soft edge", pipeline, model, ("euler", "normal"),
              {"prompt": PROMPT, "image": start, "mask_image": holes, "strength": 1.0, **SIZE},
              {"init_image": dump.image("start", start), "mask_image": dump.image("mask", holes),
               "strength": 1.0, "mask_blur": 4, "composite": True},
              finish=lambda drawn: Image.composite(drawn, start, tiny.blurred(holes, 4)),
              change=("mask blur 6", {"mask_blur": 6}), rivals=[boxes])


def without(model, file, keys):
    """Copies a model without some keys of its configuration."""
    copied = pathlib.Path(shutil.copytree(model, f"{model}_plain"))
    config = json.loads((copied / file).read_text())
    (copied / file).write_text(json.dumps({key: value for key, value in config.items() if key not in keys}))
    return str(copied)


def configurations(dump, folder):
    """Configurations as other people's files have them: betas of their own, latents normalised channel by channel."""
    torch.manual_seed(7)
    pipeline = quiet(StableDiffusionPipeline, vae=tiny.vae(0.18215), unet=tiny.unet_sd(),
                     scheduler=tiny.scheduler(trained_betas=np.linspace(0.0004, 0.02, 1000).tolist()),
                     text_encoder=tiny.text_encoder(64, 3, "quick_gelu"),
                     tokenizer=tiny.tokenizer(folder / "betas", "<|endoftext|>"))
    model = dump.save(pipeline, "trained_betas")
    plain = without(model, "scheduler/scheduler_config.json", ("trained_betas",))
    dump.draw("sd15 text to image: trained betas", pipeline, model, ("euler", "normal"), {"prompt": PROMPT, **SIZE},
              change=("the plain betas", {"model": plain}))

    parts = {"vae": tiny.vae(0.5, latents_mean=[-0.3, 0.4, -0.2, 0.5], latents_std=[1.6, 0.9, 1.2, 0.7]),
             "unet": tiny.unet_xl(64, 6, 64 + 96, levels=3), "scheduler": tiny.scheduler(),
             "text_encoder": tiny.text_encoder(64, 3, "quick_gelu"),
             "tokenizer": tiny.tokenizer(folder / "normed1", "<|endoftext|>"),
             "text_encoder_2": tiny.text_encoder(96, 3, "gelu", projection=64),
             "tokenizer_2": tiny.tokenizer(folder / "normed2", "!"), "add_watermarker": False}
    pipeline = StableDiffusionXLPipeline(**parts)
    model = dump.save(pipeline, "normed_latents")
    plain = without(model, "vae/config.json", ("latents_mean", "latents_std"))
    dump.draw("sdxl text to image: normed latents", pipeline, model, ("euler", "normal"), {"prompt": PROMPT, **SIZE},
              change=("latents that are not normed", {"model": plain}))
    start = photograph(**SIZE, seed=2)
    dump.draw("sdxl image to image: normed latents", StableDiffusionXLImg2ImgPipeline(**parts), model,
              ("euler", "normal"), {"prompt": PROMPT, "image": start, "strength": 0.5},
              {"init_image": dump.image("start_normed", start), "strength": 0.5},
              change=("latents that are not normed", {"model": plain}))


def kohya_lora(pipeline, rank=4, alpha=2.0):
    """Makes a LoRA of every attention projection in kohya's naming, and its changes of the weights."""
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
    """Draws LoRAs, a textual inversion and a tiny autoencoder with one model."""
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
    dump.draw("sd15 LoRA: two", pipeline, model, ("euler", "normal"), text, loras=files,
              change=("weight 0 of the second", {"loras": files[:1]}))
    for parameter, change in merged:
        parameter -= change

    word = dump.out / "embedding.safetensors"
    save_file({"<straw-hat>": torch.randn(64) * 0.5}, word)
    pipeline.load_textual_inversion(load_file(word), token="<straw-hat>")
    prompt = "a cat with <straw-hat>, smiling"
    dump.draw("sd15 textual inversion", pipeline, model, ("euler", "normal"), {"prompt": prompt, **SIZE},
              {"prompt": prompt}, embeddings=[str(word)], change=("a word like others", {"embeddings": None}))

    pipeline.vae = tiny.louder(AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4))
    tiny_vae = str(dump.out / "models" / "taesd")
    pipeline.vae.save_pretrained(tiny_vae)
    dump.draw("sd15 tiny autoencoder", pipeline, model, ("euler", "normal"), text, vae=tiny_vae,
              change=("the model's own", {"vae": None}))


def stable_diffusion_2(dump, folder):
    torch.manual_seed(2)
    for name, prediction in (("sd21", "epsilon"), ("sd21v", "v_prediction")):
        pipeline = quiet(StableDiffusionPipeline, vae=tiny.vae(0.18215), unet=tiny.unet_sd(linear=True),
                         scheduler=tiny.scheduler(prediction_type=prediction),
                         text_encoder=tiny.text_encoder(64, 3, "gelu"),
                         tokenizer=tiny.tokenizer(folder / name, "!"))
        model = dump.save(pipeline, name)
        for sampler in (("ddim", "normal"), ("euler_a", "normal")):
            dump.draw(f"{name} text to image: {' '.join(sampler)}", pipeline, model, sampler,
                      {"prompt": PROMPT, **SIZE}, change=("heun", {"sampler": "heun"}))
    sampling_pictures.defaults(dump, "sd21v", pipeline, model)


def sdxl(dump, folder):
    torch.manual_seed(3)
    shared = {"vae": tiny.vae(0.13025), "scheduler": tiny.scheduler(),
              "text_encoder_2": tiny.text_encoder(96, 3, "gelu", projection=64),
              "tokenizer_2": tiny.tokenizer(folder / "xl2", "!")}
    pipeline = StableDiffusionXLPipeline(
        unet=tiny.unet_xl(64, 6, 64 + 96, levels=3), text_encoder=tiny.text_encoder(64, 3, "quick_gelu"),
        tokenizer=tiny.tokenizer(folder / "xl1", "<|endoftext|>"), add_watermarker=False, **shared)
    model = dump.save(pipeline, "sdxl")
    empty = rival("no negative prompt: zeros, as diffusers and A1111", "ComfyUI: the empty prompt is encoded",
                  call={"negative_prompt": ""})
    dump.draw("sdxl text to image", pipeline, model, ("euler", "normal"), {"prompt": PROMPT, **SIZE},
              change=OTHER_PROMPT, rivals=[empty])
    dump.draw("sdxl text to image: negative", pipeline, model, ("ddim", "normal"),
              {"prompt": PROMPT, "negative_prompt": "ugly, old", **SIZE}, {"negative": "ugly, old"}, change=NO_NEGATIVE)
    dump.draw("sdxl text to image: clip skip", pipeline, model, ("euler", "normal"),
              {"prompt": PROMPT, "clip_skip": 1, "guidance_scale": 1.0, **SIZE}, {"clip_skip": 3},
              change=("clip skip 2", {"clip_skip": 2}))
    sampling_pictures.defaults(dump, "sdxl", pipeline, model)

    refiner = StableDiffusionXLImg2ImgPipeline(
        unet=tiny.unet_xl(64, 5, 96, levels=4), text_encoder=None, tokenizer=None,
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False, **shared)
    refiner_model = dump.save(refiner, "refiner")
    start = photograph(**SIZE, seed=2)
    dump.draw("refiner image to image", refiner, refiner_model, ("ddim", "normal"),
              {"prompt": PROMPT, "image": start, "strength": 0.5},
              {"init_image": dump.image("start_xl", start), "strength": 0.5},
              change=("strength 0.8", {"strength": 0.8}))

    dump.draw("sdxl with refiner", tiny.Together(pipeline, refiner), model, ("euler", "normal"),
              {"prompt": PROMPT, "negative_prompt": "ugly", "num_inference_steps": 10}, {"negative": "ugly"},
              refiner=refiner_model, refiner_start=0.6, change=("no refiner", {"refiner": None}))
    sampling_pictures.refined(dump, pipeline, refiner, model, refiner_model)
    sampling_pictures.from_picture(dump, "refiner", refiner, refiner_model, start)
    sdxl_tasks(dump, pipeline, model, start)


def ssd_1b(dump, folder):
    """Draws SDXL's pipeline with a network that has lists of depths, and ControlNets of both networks."""
    torch.manual_seed(6)
    networks = [tiny.unet_xl(64, 6, 64 + 96, levels=3, **changes)
                for changes in (tiny.SSD_1B, {"layers_per_block": 2})]
    pipeline = StableDiffusionXLPipeline(
        unet=networks[0], vae=tiny.vae(0.13025), scheduler=tiny.scheduler(),
        text_encoder=tiny.text_encoder(64, 3, "quick_gelu"), tokenizer=tiny.tokenizer(folder / "ssd1", "<|endoftext|>"),
        text_encoder_2=tiny.text_encoder(96, 3, "gelu", projection=64),
        tokenizer_2=tiny.tokenizer(folder / "ssd2", "!"), add_watermarker=False)
    model = dump.save(pipeline, "ssd1b")
    dump.draw("ssd1b text to image", pipeline, model, ("euler", "normal"),
              {"prompt": PROMPT, "negative_prompt": "ugly", **SIZE}, {"negative": "ugly"},
              change=("heun", {"sampler": "heun"}))
    net = tiny.controlnet(networks[1])
    path = str(dump.out / "models" / "controlnet_ssd1b")
    net.save_pretrained(path)
    hint = photograph(**SIZE, seed=9)
    dump.draw("ssd1b controlnet: of SDXL",
              StableDiffusionXLControlNetPipeline(**pipeline.components, add_watermarker=False, controlnet=net), model,
              ("euler", "normal"), {"prompt": PROMPT, "image": hint, "controlnet_conditioning_scale": 0.7},
              {"controls": [{"image": dump.image("hint_ssd1b", hint), "weight": 0.7, "from": 0.0, "to": 1.0}]},
              controlnets=[path], change=NO_CONTROL)


def sdxl_tasks(dump, pipeline, model, start):
    """Draws SDXL from a picture, around a mask, and by a ControlNet's hint."""
    parts = {**pipeline.components, "add_watermarker": False}
    begin = {"prompt": PROMPT, "image": start, "strength": 0.5}
    asked = {"init_image": dump.image("start_xl", start), "strength": 0.5}
    dump.draw("sdxl image to image", StableDiffusionXLImg2ImgPipeline(**parts), model, ("euler", "normal"), begin,
              asked, change=("strength 0.8", {"strength": 0.8}))
    holes, whole = mask(**SIZE), Image.new("RGB", start.size, "white")
    dump.draw("sdxl inpainting", StableDiffusionXLInpaintPipeline(**parts), model, ("euler", "normal"),
              {**begin, "mask_image": holes, **SIZE},
              {**asked, "mask_image": dump.image("mask", holes), "mask_blur": 0, "composite": False},
              change=("all of the picture drawn anew", {"mask_image": dump.image("all", whole)}))
    net = tiny.controlnet(pipeline.unet)
    folder = str(dump.out / "models" / "controlnet_xl")
    net.save_pretrained(folder)
    hint = photograph(**SIZE, seed=9)
    joined, file = StableDiffusionXLControlNetPipeline(**parts, controlnet=net), dump.image("hint_xl", hint)
    dump.draw("sdxl controlnet", joined, model, ("euler", "normal"),
              {"prompt": PROMPT, "image": hint, "controlnet_conditioning_scale": 0.7},
              {"controls": [{"image": file, "weight": 0.7, "from": 0.0, "to": 1.0}]}, change=NO_CONTROL,
              controlnets=[folder])
    sampling_pictures.window(dump, "sdxl", joined, model, folder, hint, 4, 8)


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
              {"prompt": "", "image_prompt": dump.image("prompt", picture)},
              change=("another picture", {"image_prompt": dump.image("prompt2", photograph(96, 80, seed=4))}))


def main():
    dump = Dump(sys.argv[1])
    (dump.out / "models").mkdir(parents=True, exist_ok=True)
    tokenizers = dump.out / "tokenizers"
    with torch.no_grad():
        stable_diffusion_1(dump, tokenizers)
        stable_diffusion_2(dump, tokenizers)
        sdxl(dump, tokenizers)
        configurations(dump, tokenizers)
        ssd_1b(dump, tokenizers)
        image_variations(dump)
        adapters(dump, tokenizers)
        single_pictures.draw_all(dump)
    (dump.out / "cases.json").write_text(json.dumps(dump.cases, indent=1))


if __name__ == "__main__":
    main()
