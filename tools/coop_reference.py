"""Coop-Diffusion as the paper writes it (arXiv 2312.16486, algorithm 1), on diffusers' own modules: noise predictions
and alpha-bar, DDIM with eta 0, variance-preserving latents z_t = sqrt(ab) z_0 + sqrt(1 - ab) e. It is the second
implementation with which tests/parity/coop_test.cpp compares ours, which knows only x_0, sigma and a tuple;
tools/parity/dump_coop.py runs it. Letters are those of the paper: the hub has no prime, the other member has one.
"""

import dataclasses

import numpy as np
import torch
from PIL import Image

FILTERS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR,
           "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def resize(x, width, height, name):
    """Resizes planes of floats by Pillow's filters, without rounding to bytes."""
    if x.shape[-2:] == (height, width):
        return x
    planes = [Image.fromarray(plane.float().numpy(), "F").resize((width, height), FILTERS[name]) for plane in x[0]]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None].to(x)


class Member:
    """One model: eps(z_t, t) with classifier-free guidance, D and E (the posterior's mean)."""

    def __init__(self, pipe, width, height, prompt, negative, guidance):
        self.pipe, self.width, self.height, self.guidance = pipe, width, height, guidance
        self.alpha_bar = pipe.scheduler.alphas_cumprod.double()
        self.xl = hasattr(pipe, "text_encoder_2")
        with torch.no_grad():
            said = pipe.encode_prompt(prompt=prompt, negative_prompt=negative, device="cpu",
                                      num_images_per_prompt=1, do_classifier_free_guidance=True)
        self.dtype = pipe.unet.dtype
        self.context = torch.cat([said[1], said[0]]).to(self.dtype)
        self.added = {}
        if self.xl:
            size = torch.tensor([[height, width, 0, 0, height, width]] * 2).to(self.dtype)
            self.added = {"text_embeds": torch.cat([said[3], said[2]]).to(self.dtype), "time_ids": size}

    @property
    def shape(self):
        f = 2 ** (len(self.pipe.vae.config.block_out_channels) - 1)
        return (1, self.pipe.vae.config.latent_channels, self.height // f, self.width // f)

    def eps(self, z, t):
        out = self.pipe.unet(torch.cat([z, z]), torch.tensor(float(t), dtype=self.dtype), self.context,
                             added_cond_kwargs=self.added).sample
        if self.pipe.scheduler.config.prediction_type == "v_prediction":
            ab = self.ab(t)
            out = ab**0.5 * out + (1 - ab) ** 0.5 * z
        without, with_prompt = out.chunk(2)
        return without + self.guidance * (with_prompt - without)

    def ab(self, t):
        """Alpha-bar at a time; 1 after the last step."""
        return 1.0 if t < 0 else float(self.alpha_bar[t])

    def D(self, z0):
        return self.pipe.vae.decode(z0 / self.pipe.vae.config.scaling_factor).sample

    def E(self, x0):
        return self.pipe.vae.encode(x0).latent_dist.mean * self.pipe.vae.config.scaling_factor

    def noise(self, generator):
        return torch.randn(self.shape, generator=generator).to(self.dtype)


def z0_of(z, e, ab):
    return (z - (1 - ab) ** 0.5 * e) / ab**0.5


def eps_of(z, z0, ab):
    return (z - ab**0.5 * z0) / (1 - ab) ** 0.5


def ddim(z, e, ab, ab_next):
    """The sampler S of the paper, with eta 0."""
    return ab_next**0.5 * z0_of(z, e, ab) + (1 - ab_next) ** 0.5 * e


@dataclasses.dataclass
class Path:
    """The latents after every step, [step][space], with their alpha-bar."""

    z: list = dataclasses.field(default_factory=list)
    ab: list = dataclasses.field(default_factory=list)

    def add(self, latents, ab):
        self.z.append(latents)
        self.ab.append(ab)


def latent_gap(hub, other, z, z_, timesteps, d_of, path, crossing="bicubic"):
    """Sub-module 1 over `timesteps` (the last is the end: no step begins there). d_of(t): the weight of the other
    member."""
    for t, t_next in zip(timesteps, timesteps[1:]):
        ab, ab_next, d = hub.ab(t), hub.ab(t_next), d_of(t)
        e = hub.eps(z, t)
        e_ = other.eps(z_, t)
        x0_ = other.D(z0_of(z_, e_, ab))
        tilde = hub.E(resize(x0_, hub.width, hub.height, crossing))
        fused = d * eps_of(z, tilde, ab) + (1 - d) * e
        # The reverse map: the hub's fused guess, as the other would have to predict it.
        x0 = hub.D(z0_of(z, fused, ab))
        tilde_ = other.E(resize(x0, other.width, other.height, crossing))
        fused_ = eps_of(z_, tilde_, ab)
        z = ddim(z, fused, ab, ab_next)
        z_ = ddim(z_, fused_, ab, ab_next)
        path.add([z, z_], ab_next)
    return z, z_


def fused_guess(hub, other, z, z_, t, d, crossing="bicubic"):
    """The hub's fused guess z_0 at t, from its own and the other's prediction."""
    ab = hub.ab(t)
    x0_ = other.D(z0_of(z_, other.eps(z_, t), ab))
    tilde = hub.E(resize(x0_, hub.width, hub.height, crossing))
    return z0_of(z, d * eps_of(z, tilde, ab) + (1 - d) * hub.eps(z, t), ab)


def one_alone(model, z, timesteps, path):
    for t, t_next in zip(timesteps, timesteps[1:]):
        z = ddim(z, model.eps(z, t), model.ab(t), model.ab(t_next))
        path.add([z], model.ab(t_next))
    return z


def carried(low, model, z0, t_low, upsample, generator):
    """Steps 2 to 4 of sub-module 2: turns z_0 of `low` at T_low into z_{T_low} of `model`."""
    x0 = resize(low.D(z0), model.width, model.height, upsample)
    ab = model.ab(t_low)
    return ab**0.5 * model.E(x0) + (1 - ab) ** 0.5 * model.noise(generator)


def resolution_gap(low, high, z, timesteps, t_low, upsample, generator, path):
    """Sub-module 2: `low` from the first of `timesteps` to t_low, `high` from there on."""
    z = one_alone(low, z, [t for t in timesteps if t > t_low] + [t_low], path)
    z0 = z0_of(z, low.eps(z, t_low), low.ab(t_low))
    z = carried(low, high, z0, t_low, upsample, generator)
    return one_alone(high, z, [t_low] + [t for t in timesteps if t < t_low], path)
