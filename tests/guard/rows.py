"""The rows of pictures.py: what is drawn, with which flags. In arguments and recipes "{m}" is the folder of
models.py, "{t}" a folder of this row alone, "{out}" the picture to write; other paths begin at the root of
the repository. Few steps and small sizes: a row asks whether a picture changes, not how good it is.
"""

import dataclasses

PROMPT = "a photo of a cat, wearing a straw hat"
START = ("--init-image", "{m}/pictures/start.png")
MASK = (*START, "--mask", "{m}/pictures/mask.png")
LORA = "{m}/lora_%s/single.safetensors"
SD1, SD1_FOLDER = {"model": "{m}/sd1/single.safetensors"}, {"model": "{m}/sd1/folder"}
XL, XL_FOLDER = {"model": "{m}/sdxl/single.safetensors"}, {"model": "{m}/sdxl/folder"}
REFINER = ("--refiner", "{m}/sdxl_refiner/single.safetensors")
REFINER_FOLDER = ("--refiner", "{m}/sdxl_refiner/folder")
PAIR = {"model": "{m}/pangu_pair"}
APPLE, WHALE = {"prompt": "a red apple, 3D render"}, {"prompt": "蓝色的鲸鱼,扁平图标"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One run of the program. Without "{out}" among the arguments its result is what it prints."""
    name: str
    arguments: tuple
    before: tuple = ()  # arguments of a run of the same program before it
    recipe: str = ""  # of "{t}/recipe.toml"
    same_as: str = ""  # a row before it whose picture must be this one
    bf16: bool = False
    count: int = 1
    least_values: int = 20  # different bytes in a picture that says something

    def prints(self):
        return "{out}" not in self.arguments


def shared(bf16):
    return ("--dtype", "bf16" if bf16 else "f32", "--threads", "1", "--quiet")


def written(flags):
    return () if "--plan" in flags else ("--out", "{out}")


def draw(name, *flags, model=None, prompt=PROMPT, size="128x96", steps=4, seed=11, bf16=False, **more):
    flags = ["--steps", str(steps), "--seed", str(seed), *flags, *shared(bf16)]
    for flag, value in (("--model", model), ("--size", size)):
        flags += [flag, value] if value else []
    return Row(name, ("draw", prompt, *flags, *written(flags)), bf16=bf16, **more)


def coop(name, recipe, *flags, steps=4, seed=11, bf16=False, **more):
    """`recipe`: a file, or the text of one."""
    text = recipe if "\n" in recipe else ""
    flags = ["--steps", str(steps), "--seed", str(seed), *flags, *shared(bf16)]
    file = "{t}/recipe.toml" if text else recipe
    return Row(name, ("coop", file, *flags, *written(flags)), recipe=text, bf16=bf16, **more)


def again(name, same_as, row):
    """`row` drawn anew from its own picture."""
    first = tuple("{t}/first.png" if argument == "{out}" else argument for argument in row.arguments)
    return Row(name, (first[0], "--from", "{t}/first.png", *shared(False), "--out", "{out}"), before=first,
               same_as=same_as)


def converted(name, same_as, source, **more):
    return draw(name, model="{t}/made", same_as=same_as,
                before=("convert", source["model"], "{t}/made", "--dtype", "f32"), **more)


def stable_diffusion_1():
    net = ("--controlnet", "{m}/controlnet_sd1/single.safetensors", "--control-image")
    hints = "{m}/pictures/hint%d.png"
    second_net = ("--controlnet", "{m}/controlnet_sd1/folder", "--control-image")
    inpaint = "{m}/sd1_inpaint/"
    return [
        draw("sd1 single", "--negative", "blurry", **SD1),
        draw("sd1 folder", "--negative", "blurry", **SD1_FOLDER, same_as="sd1 single"),
        draw("sd1 folder of old names", "--negative", "blurry", model="{m}/sd1/old_folder",
             same_as="sd1 single"),
        draw("sd1 noise of torch", "--noise", "torch-cpu", "--spacing", "linspace", **SD1),
        draw("sd1 weights, two chunks", "--negative", "(blurry:1.2)", **SD1,
             prompt="a (photo:1.4) of a [cat] BREAK with a ((straw hat)), smiling"),
        draw("sd1 clip skip, guidance rescale", "--clip-skip", "2", "--guidance-rescale", "0.7", **SD1),
        draw("sd1 image to image", *START, "--strength", "0.6", "--sampler", "ddim", **SD1, steps=6),
        draw("sd1 mask", *MASK, **SD1),
        draw("sd1 mask without composite", *MASK, "--strength", "0.6", "--mask-blur", "0", "--no-composite",
             **SD1, steps=6),
        draw("sd1 without negative", **SD1),
        converted("sd1 converted", "sd1 without negative", SD1),
        draw("sd1 of the picture's size", *START, "--strength", "0.9", **SD1_FOLDER, size=None),
        draw("sd1 inpainting model", *MASK, model=inpaint + "single.safetensors"),
        draw("sd1 inpainting model, folder", *MASK, model=inpaint + "folder", same_as="sd1 inpainting model"),
        draw("sd1 controlnet", *net, hints % 0, **SD1),
        draw("sd1 controlnets in ranges", *net, hints % 0 + ",weight=0.8,to=0.6", *second_net,
             hints % 1 + ",weight=0.5,from=0.3", **SD1_FOLDER),
        draw("sd1 lora kohya", "--lora", LORA % "kohya_sd1" + ":0.8", **SD1),
        draw("sd1 lora tucker", "--lora", LORA % "kohya_sd1_tucker", **SD1),
        draw("sd1 lora first naming", "--lora", LORA % "diffusers_first_sd1", **SD1_FOLDER),
        draw("sd1 lora peft", "--lora", LORA % "peft_sd1" + ":0.8", **SD1),
        draw("sd1 lora two", "--lora", LORA % "kohya_sd1" + ":0.8", "--lora", LORA % "peft_sd1" + ":-0.3",
             **SD1),
        draw("sd1 lora of the prompt", "--lora-dir", "{m}/lora_kohya_sd1", **SD1,
             prompt=PROMPT + "<lora:single:0.8>", same_as="sd1 lora kohya"),
        draw("sd1 embedding", "--embedding", "{m}/words/hat_a1111.safetensors", **SD1,
             prompt="a cat with hat_a1111, old"),
        draw("sd1 embedding of diffusers", "--embedding", "{m}/words/hat_diffusers.safetensors", **SD1,
             prompt="a cat with <cat-toy>"),
        draw("sd1 tiny autoencoder", "--vae", "{m}/taesd", **SD1),
        draw("sd1 tiny autoencoder, image to image", *START, "--vae", "{m}/taesd", **SD1),
        draw("sd1 other autoencoder, tiles", "--vae", "{m}/sd2/folder/vae", "--vae-tile", "64", **SD1,
             size="192x128"),
        draw("sd1 image variations", "--image-prompt", "{m}/pictures/vary0.png", prompt="",
             model="{m}/image_variations/single.safetensors"),
        draw("sd1 image variations, folder", "--image-prompt", "{m}/pictures/vary1.png", prompt="",
             model="{m}/image_variations/folder"),
    ]


def stable_diffusion_2():
    return [
        draw("sd2 single", "--negative", "blurry", model="{m}/sd2/single.safetensors"),
        draw("sd2 v single", "--sampler", "euler_a", model="{m}/sd2_v/single.safetensors"),
        draw("sd2 v folder", "--sampler", "euler_a", model="{m}/sd2_v/folder", same_as="sd2 v single"),
        draw("sd2 inpainting model", *MASK, model="{m}/sd2_inpaint/single.safetensors"),
    ]


def sdxl():
    return [
        draw("sdxl single", "--negative", "ugly, old", **XL),
        draw("sdxl folder", "--negative", "ugly, old", **XL_FOLDER, same_as="sdxl single"),
        draw("sdxl clip skip", "--clip-skip", "3", "--guidance", "1", **XL),
        draw("sdxl image to image", *START, "--strength", "0.5", **XL, steps=6),
        draw("sdxl mask", *MASK, "--strength", "0.7", **XL),
        draw("sdxl inpainting model", *MASK, model="{m}/sdxl_inpaint/single.safetensors"),
        draw("sdxl controlnet", "--controlnet", "{m}/controlnet_sdxl/single.safetensors", "--control-image",
             "{m}/pictures/hint0.png,weight=0.7", **XL),
        draw("sdxl lora kohya", "--lora", LORA % "kohya_sdxl" + ":0.8", **XL),
        draw("sdxl lora blocks of ldm", "--lora", LORA % "kohya_sdxl_ldm" + ":0.6", **XL),
        draw("sdxl lora diffusers", "--lora", LORA % "diffusers_sdxl", **XL_FOLDER),
        draw("sdxl lora diffusers old", "--lora", LORA % "diffusers_old_sdxl" + ":0.8", **XL),
        draw("sd1 prompt edited", **SD1, prompt="a photo of a [cat:dog:0.5], wearing a straw hat"),
        draw("sd1 prompt alternating", **SD1, prompt="a photo of a [cat|dog], wearing a straw hat"),
        draw("sdxl prompt edited", **XL, prompt="a photo of a [cat:dog:1], wearing a straw hat"),
        draw("sdxl embedding", "--embedding", "{m}/words/hat_sdxl.safetensors", **XL,
             prompt="a cat with hat_sdxl"),
        draw("sdxl with refiner", *REFINER, "--refiner-start", "0.6", **XL, steps=5),
        draw("sdxl refiner, image to image", *START, "--strength", "0.5", model=REFINER_FOLDER[1], steps=6),
    ]


def pangu_draw_3():
    return [
        draw("pangu 3 pair", **PAIR, size="256x960"),
        draw("pangu 3 pair, chinese, style", "--style", "aesthetic", **PAIR, size="1024x256", seed=7,
             prompt="一只戴着草帽的橘猫，坐在窗台上，水彩画"),
        draw("pangu 3 pair, one expert in memory", "--experts-in-memory", "1", **PAIR, size="256x960",
             same_as="pangu 3 pair"),
        converted("pangu 3 converted", "pangu 3 pair", PAIR, size="256x960"),
        draw("pangu 3 pair, negative", "--negative", "blurry, 模糊", **PAIR, size="512x512", steps=3,
             prompt="黄山云海，日出；ｆｉｎｅ “details”"),
    ]


SAMPLERS = (
    ("euler", "normal"), ("euler_a", "karras"), ("heun", "exponential"), ("dpm2", "polyexponential"),
    ("dpm2_a", "sgm_uniform"), ("dpmpp_2s_a", "simple"), ("dpmpp_2m", "ddim_uniform"), ("dpmpp_sde", "beta"),
    ("dpmpp_2m_sde", "align_your_steps"), ("dpmpp_3m_sde", "edm"), ("lms", "karras"), ("ddim", "normal"),
    ("ddpm", "beta"), ("unipc", "exponential"), ("lcm", "lcm"), ("dpmpp_2m", "karras"), ("unipc", "simple"))


def embedded():
    small = {**APPLE, "size": "128x128"}
    square = ("--init-image", "{m}/pictures/square.png")
    chinese = draw("mini chinese", **WHALE, size="192x320", steps=6)
    rows = [
        draw("mini english", **APPLE, size="256x256", steps=8),
        chinese,
        draw("mini negative, style, three", "--negative", "fur", "--style", "flat", "--style", "soft light",
             "--style-scale", "2", "--count", "3", **small, count=3),
        draw("mini without guidance", "--guidance", "1", **small),
        draw("mini guided in an interval", "--guidance-low", "1.5", "--guidance-high", "8", **small, steps=8),
        draw("mini guided everywhere", "--guidance-low", "0", "--guidance", "7", "--guidance-rescale", "0.5",
             **small),
        draw("mini one expert in memory", "--experts-in-memory", "1", **APPLE, size="256x256", steps=8,
             same_as="mini english"),
        again("mini again from its picture", "mini chinese", chinese),
        draw("mini noise of numpy", "--noise", "numpy", "--spacing", "leading", **small),
        draw("mini image to image", *square, "--strength", "0.7", **small, steps=6),
        draw("mini mask", *square, "--mask", "{m}/pictures/mask_square.png", **small),
    ]
    for sampler, schedule in SAMPLERS:
        rows.append(draw(f"mini {sampler} {schedule}", "--sampler", sampler, "--schedule", schedule, **small,
                         steps=4 if sampler != "dpmpp_3m_sde" else 5))
    return rows + [
        draw("edges", "--control-image", "examples/fox_edges.png", model="models/edges", size="128x128",
             prompt="a pig face, 3D render"),
        draw("variation", "--image-prompt", "examples/fox.png", model="models/variation", size="128x128",
             prompt=""),
        draw("low", "--style", "3d", model="models/low", prompt="a cat", size="128x128"),
    ]


TWO_TEXTS = """prompt = "a red apple, 3D render"
size = "128"
form = "symmetric"
sampler = "euler_a"
[[member]]
name = "a"
hub = true
weight_curve = [[0.5, 0.2], [8.0, 1.0]]
[[member]]
name = "b"
prompt = "a blue whale"
mask = "{m}/pictures/mask_square.png"
negative = "red"
sigma_low = 0.3
"""
LOW_HIGH = """prompt = "a castle, flat icon"
size = "256x192"
handoff = "%s"
[[member]]
name = "low"
model = "models/low"
[[member]]
name = "high"
hub = true
[[stage]]
members = ["low"]
until = "%s"
upscale = "%s"
[[stage]]
members = ["high", "low"]
"""
STAGES = """prompt = "a castle, flat icon"
size = "128x128"
handoff = "keep"
sampler = "ddim"
[[member]]
name = "first"
prompt = "a fox"
[[member]]
name = "second"
hub = true
[[stage]]
members = ["first"]
until = "snr=0.1"
[[stage]]
members = ["second"]
"""
TINY_BRIDGES = """prompt = "a photo of a cat"
size = "128x96"
form = "%s"
bridge = "%s"
[[member]]
name = "xl"
model = "{m}/sdxl/folder"
hub = true
tiny_vae = "{m}/taesd"
[[member]]
name = "sd"
model = "{m}/sd1/single.safetensors"
tiny_vae = "{m}/taesd"
prompt = "a dog"
size = "96x64"
"""


def together():
    edges, small, sd1 = "examples/text_edges.toml", {**APPLE, "size": "128x128"}, SD1["model"]
    rows = [coop(f"coop {name}", f"examples/{name}.toml")
            for name in ("text_edges", "text_variation", "low_high", "three")]
    return rows + [
        coop("coop text_edges symmetric, wide", edges, "--form", "symmetric", "--size", "192x128"),
        coop("coop text_edges one way, learned", edges, "--form", "one_way", "--bridge", "learned"),
        coop("coop text_edges exact, every second", edges, "--bridge", "exact", "--bridge-every", "2",
             "--sampler", "heun", "--size", "128x128"),
        coop("coop two texts", TWO_TEXTS),
        coop("coop low to high, fresh", LOW_HIGH % ("fresh", "t=600", "lanczos")),
        coop("coop low to high, naive", LOW_HIGH % ("naive", "step=0.5", "nearest")),
        coop("coop two stages, keep", STAGES, steps=5),
        coop("coop from a picture", 'init_image = "{m}/pictures/square.png"\nstrength = 0.7\n' + TWO_TEXTS,
             steps=6),
        coop("coop three, two with noise", "examples/three.toml", "--sampler", "euler_a", "--count", "2",
             "--size", "128x128", count=2),
        again("coop again from its picture", "coop text_edges", coop("", edges)),
        coop("coop tiny, exact bridge", TINY_BRIDGES % ("paper", "exact")),
        coop("coop tiny, tiny bridge", TINY_BRIDGES % ("symmetric", "tiny")),
        draw("with edges", "--guidance-low", "0", "--with",
             "models/edges,control=examples/fox_edges.png,prompt=,weight=0.5", **small),
        draw("with another text", "--with", "models/mini,prompt=a green pear, old,to=0.5", **small),
        draw("plain for the next", "--sampler", "dpmpp_sde", **small),
        draw("with no weight", "--sampler", "dpmpp_sde", "--with", "models/low,weight=0", **small,
             same_as="plain for the next"),
        draw("with sd1's controlnet in sdxl", "--with", sd1 + ",size=96x64,controlnet={m}/controlnet_sd1/"
             "single.safetensors,control={m}/pictures/hint0.png", **XL),
        draw("with sd1's lora in pangu 3", "--with",
             sd1 + ",size=64x64,lora=" + LORA % "kohya_sd1" + ":0.8", **PAIR, size="256x960", steps=3),
        draw("with a picture to vary in sdxl", "--with", "{m}/image_variations/single.safetensors,size=96x64,"
             "image_prompt={m}/pictures/vary0.png", **XL),
    ]


def in_bf16():
    return [
        draw("bf16 mini", **APPLE, size="256x256", bf16=True),
        draw("bf16 sd1", **SD1, bf16=True),
        draw("bf16 sdxl with refiner", *REFINER_FOLDER, **XL_FOLDER, bf16=True),
        draw("bf16 pangu 3 pair", **PAIR, size="256x960", bf16=True),
        coop("bf16 coop text_edges", "examples/text_edges.toml", bf16=True),
    ]


def controls():
    hed = ("examples/fox.png", "{out}", "--detect-resolution", "128", "--threads", "1")
    return [
        Row("control edges", ("control", "edges", "examples/fox.png", "{out}"), least_values=2),
        Row("control soft edges", ("control", "hed", *hed)),
        Row("control scribble", ("control", "hed", *hed, "--scribble"), least_values=2),
        Row("control pose", ("control", "pose", "{m}/pictures/person.png", "{out}", "--threads", "1"),
            least_values=5),
    ]


def printed():
    mini = {"prompt": "a cat", "size": "256x256"}
    files = ["sd1/single.safetensors", "sd1/folder", "sd2_v/single.safetensors", "sdxl/single.safetensors",
             "sdxl_refiner/folder", "image_variations/single.safetensors", "pangu_pair", "taesd",
             "controlnet_sdxl/single.safetensors", "lora_kohya_sdxl_ldm/single.safetensors",
             "lora_peft_sd1/single.safetensors", "words/hat_sdxl.safetensors"]
    return [
        draw("plan mini", "--plan", "--json", **mini, steps=20),
        draw("plan mini dpmpp_2m karras", "--plan", "--sampler", "dpmpp_2m", "--schedule", "karras", **mini,
             steps=12),
        draw("plan sd1 image to image", "--plan", "--json", *START, "--strength", "0.5", **SD1_FOLDER,
             steps=20),
        draw("plan sdxl with refiner", "--plan", *REFINER, **XL, steps=10),
        draw("plan pangu 3", "--plan", **PAIR, size="256x960", steps=10),
        coop("plan three", "examples/three.toml", "--plan"),
        coop("plan low_high", "examples/low_high.toml", "--plan", "--json", steps=20),
        *(Row(f"inspect {file}", ("inspect", f"{{m}}/{file}", "--json")) for file in files),
        Row("inspect mini", ("inspect", "models/mini")),
    ]


ROWS = [*stable_diffusion_1(), *stable_diffusion_2(), *sdxl(), *pangu_draw_3(), *embedded(), *together(),
        *in_bf16(), *controls(), *printed()]
