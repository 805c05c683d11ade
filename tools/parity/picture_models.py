"""The models and pictures that dump_pictures.py draws with: parts of tiny diffusers pipelines, with random weights
that are large enough for their pictures to differ, and pictures to start from.
"""

import json
import pathlib

import numpy as np
import torch
from diffusers import (AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline,
                       StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline,
                       UNet2DConditionModel)
from PIL import Image
from transformers import (CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection,
                          CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection)

import dump_tokenizers

VOCABULARY = 49408
SIZE = {"width": 128, "height": 96}
PROMPT = "a photo of a cat, wearing a straw hat"

if not hasattr(CLIPTextModel, "text_model"):
    # diffusers 0.42 asks for the inner model of transformers 4 when layers are skipped.
    CLIPTextModel.text_model = property(lambda self: self)


def tokenizer(folder, pad):
    """CLIP's tokenizer with its real vocabulary."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = dump_tokenizers.openai_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=pad,
                         model_max_length=77)


def louder(module, scale=1.0):
    for name, p in module.named_parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=scale / p[0].numel() ** 0.5)
        elif name.endswith("bias"):
            torch.nn.init.normal_(p, std=0.05)
        else:
            torch.nn.init.normal_(p, mean=1.0, std=0.1)
    return module.eval()


def text_encoder(width, layers, act, projection=None):
    config = CLIPTextConfig(hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
                            num_attention_heads=width // 32, hidden_act=act, vocab_size=VOCABULARY,
                            projection_dim=projection or width, bos_token_id=49406, eos_token_id=49407)
    return louder((CLIPTextModelWithProjection if projection else CLIPTextModel)(config))


def image_encoder(width, projection):
    config = CLIPVisionConfig(hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
                              num_attention_heads=width // 32, image_size=32, patch_size=8,
                              projection_dim=projection)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return louder(CLIPVisionModelWithProjection(config)), processor


def vae(scaling_factor, **changes):
    return louder(AutoencoderKL(block_out_channels=(32, 32, 64, 64), layers_per_block=1,
                                down_block_types=("DownEncoderBlock2D",) * 4,
                                up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4,
                                norm_num_groups=16, scaling_factor=scaling_factor, **changes), 0.8)


def unet_sd(in_channels=4, context=64, linear=False):
    return louder(UNet2DConditionModel(
        sample_size=64, block_out_channels=(32, 64, 64, 64), layers_per_block=1, in_channels=in_channels,
        cross_attention_dim=context, attention_head_dim=(1, 2, 2, 2) if linear else 8,
        use_linear_projection=linear, norm_num_groups=16))


# SDXL with transformer blocks taken out one by one, and none in the middle.
SSD_1B = {"layers_per_block": 2, "mid_block_type": "UNetMidBlock2D",
          "transformer_layers_per_block": [1, [2, 1], [1, 3]],
          "reverse_transformer_layers_per_block": [[2, 1, 3], [2, 1, 1], 1]}


def unet_xl(pooled, numbers, context, levels, **changes):
    down = {3: ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            4: ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")}[levels]
    up = tuple(d.replace("Down", "Up") for d in reversed(down))
    return louder(UNet2DConditionModel(**{
        "sample_size": 64, "block_out_channels": (32, 64, 64, 64)[:levels], "down_block_types": down,
        "up_block_types": up, "layers_per_block": 1, "cross_attention_dim": context, "attention_head_dim": 2,
        "transformer_layers_per_block": (1, 2, 3, 1)[:levels], "use_linear_projection": True,
        "addition_embed_type": "text_time", "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": pooled + 32 * numbers, "norm_num_groups": 16, **changes}))


def controlnet(unet):
    return louder(ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 32, 64)))


def scheduler(**changes):
    """The scheduler as the released folders of Stable Diffusion have it."""
    return DDIMScheduler(**{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
                            "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1,
                            "timestep_spacing": "leading", **changes})


def photograph(width, height, seed):
    """A smooth colourful picture."""
    x, y = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 3, height))
    waves = [np.sin(x * (1 + k) + seed) * np.cos(y * (2 - 0.4 * k) - seed) for k in range(3)]
    return Image.fromarray((127.5 + 120 * np.stack(waves, -1)).astype("uint8"))


def mask(width, height):
    pixels = np.zeros((height, width), "uint8")
    pixels[height // 4 : height * 3 // 4, width // 3 : width] = 255
    return Image.fromarray(pixels).convert("RGB")


def blurred(picture, sigma_px):
    """Blurs by a Gaussian; diffusers' own blur is Pillow's three boxes, which differ from it by up to 3 of 255."""
    x = np.arange(-6 * sigma_px, 6 * sigma_px + 1)
    weights = np.exp(-x * x / (2.0 * sigma_px**2))
    plane = np.asarray(picture.convert("L"), float)
    for axis in (0, 1):
        sides = [(len(x) // 2,) * 2 if axis == side else (0, 0) for side in (0, 1)]
        padded = np.pad(plane, sides, mode="edge")
        plane = np.apply_along_axis(np.convolve, axis, padded, weights / weights.sum(), mode="valid")
    return Image.fromarray(plane.round().astype("uint8"))


def read_weighted(pipeline, prompt, chunks):
    """Returns the states of a prompt in A1111's syntax, filled up with chunks of the empty prompt: every token's state
    is multiplied by its weight, then every chunk is scaled back to its former mean."""
    def rows_of(text):
        runs = dump_tokenizers.WebUi(text).joined()
        return dump_tokenizers.chunks_of(
            runs, lambda part: pipeline.tokenizer(part, add_special_tokens=False).input_ids, pad=49407)

    rows = rows_of(prompt)
    rows += rows_of("") * (chunks - len(rows))
    states = pipeline.text_encoder(torch.tensor([ids for ids, _ in rows])).last_hidden_state
    scaled = states * torch.tensor([weights for _, weights in rows])[:, :, None]
    scaled *= states.mean((1, 2), keepdim=True) / scaled.mean((1, 2), keepdim=True)
    return scaled.reshape(1, -1, states.shape[-1])


def quiet(kind, **parts):
    if kind in (StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline,
                StableDiffusionControlNetPipeline):
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return kind(**parts)


class Together:
    """Draws with SDXL's base, then with its refiner, as in diffusers' documentation."""

    def __init__(self, base, refiner):
        self.base, self.refiner, self.scheduler = base, refiner, base.scheduler

    def set_progress_bar_config(self, **options):
        self.base.set_progress_bar_config(**options)
        self.refiner.set_progress_bar_config(**options)

    def __call__(self, generator, **arguments):
        self.base.scheduler = self.refiner.scheduler = self.scheduler
        latents = self.base(**arguments, **SIZE, denoising_end=0.6, output_type="latent",
                            generator=generator).images
        return self.refiner(**arguments, image=latents, denoising_start=0.6, generator=generator)
