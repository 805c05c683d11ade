"""PanGu-Draw 3's conditions, schedule, guidance and sampler: from a prompt to bytes.

Everything is f32, the schedule included. The expert of a step is chosen by the step before it, so
the switch lags one step. Guidance combines the denoised predictions; the batch holds the negative prompt, the prompt,
and the prompt after every style's prefix, in this order.
"""

import numpy as np
import torch

from . import networks
from .words import PREFIXES

SCALE = 0.13025
SWITCH = 500
LARGE = [(512, 2048), (512, 1920), (768, 1536), (864, 1536), (960, 1280), (1024, 1024), (1280, 960),
         (1536, 864), (1536, 768), (1920, 512), (2048, 512)]
SMALL = [(256, 1024), (256, 960), (320, 768), (384, 640), (448, 576), (512, 512), (576, 448),
         (640, 384), (768, 320), (960, 256), (1024, 256)]


def size_index(width, height):
    return (LARGE if (width, height) in LARGE else SMALL).index((width, height))


def all_sigmas():
    """The sigmas of the thousand training indices."""
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000).astype(np.float32) ** 2
    products = np.cumprod(np.float32(1) - betas, dtype=np.float32)
    return np.sqrt((np.float32(1) - products) / products)


def timesteps(steps):
    return np.linspace(999, 0, steps, endpoint=False).astype(int)


def experts(steps):
    """Returns "high" or "low" for every step."""
    served, index = [], 999
    for t in timesteps(steps):
        served.append("high" if index >= SWITCH else "low")
        index = t
    return served


def conditions(low, tokenizers, prompts, width, height):
    """low: the tensors of the low file; tokenizers: Chinese and OpenClip -> context and y."""
    chinese, western = (torch.tensor([t(p) for p in prompts]) for t in tokenizers)
    states, pooled = networks.open_clip(low, western)
    context = torch.cat([networks.chinese_clip(low, chinese), states], 2)
    index = torch.full((len(prompts),), float(size_index(width, height)))
    return context, torch.cat([pooled, networks.sinusoid(index, 256)], 1)


def draw(low, high, tokenizers, prompt, negative="", styles=(), guidance=6.0, style_scale=4.0,
         steps=40, width=1024, height=1024, seed=42, told=None):
    """Returns a dictionary: context, y, x of every step and after the last, eps of the first, experts, bytes.
    told: context and y for "low" and for "high", in place of what the low file reads in the prompts."""
    prompts = [negative, prompt, *(PREFIXES[style] + prompt for style in styles)]
    context, y = told["high"] if told else conditions(low, tokenizers, prompts, width, height)
    sigmas = all_sigmas()[timesteps(steps)].tolist() + [0.0]
    noise = np.random.RandomState(seed).randn(1, 4, height // 8, width // 8).astype(np.float32)
    x = torch.from_numpy(noise) * float(np.sqrt(np.float32(1 + sigmas[0] ** 2)))
    path, first = [x], None
    for i, (t, expert) in enumerate(zip(timesteps(steps), experts(steps))):
        sigma = sigmas[i]
        batch = (x / (sigma ** 2 + 1) ** 0.5).repeat(len(prompts), 1, 1, 1)
        if told:
            context, y = told[expert]
        eps = networks.unet(low if expert == "low" else high, batch,
                            torch.full((len(prompts),), float(t)), context, y)
        first = eps if first is None else first
        guess = x - sigma * eps
        denoised = guess[:1] + guidance * (guess[1:2] - guess[:1])
        for row in range(2, len(prompts)):
            denoised = denoised + style_scale * (guess[row:row + 1] - guess[1:2])
        x = x + (x - denoised) / sigma * (sigmas[i + 1] - sigma)
        path.append(x)
    pixels = networks.decode(low, x / SCALE)
    shown = (((pixels + 1) / 2).clamp(0, 1) * 255).to(torch.uint8)[0].permute(1, 2, 0)
    return {"prompts": prompts, "context": context, "y": y, "path": torch.cat(path), "eps": first,
            "experts": experts(steps), "bytes": shown.numpy()}
