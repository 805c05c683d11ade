"""The schedulers of diffusers that dump_pictures.py draws with, and variants of them for the choices in which
diffusers, k-diffusion, A1111's web UI and ComfyUI differ. For every difference this program follows one side; the
pictures of the other sides are drawn too, and docs/parity.md says how far they differ.

Sources: k-diffusion (external.py, sampling.py), A1111's web UI (modules/sd_samplers_kdiffusion.py), ComfyUI
(comfy/model_sampling.py), the configurations of diffusers 0.42.
"""

import numpy as np
import torch
from diffusers import (DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, HeunDiscreteScheduler, UniPCMultistepScheduler)


def table(scheduler):
    """Returns log(sigma) of every t of the training."""
    return np.log(np.array(((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5, float))


def t_of(scheduler, sigmas):
    """Returns the t of a sigma without rounding: log(sigma) is linear in t between the entries of the table, as in
    k-diffusion."""
    return np.interp(np.log(np.array(sigmas, float)), table(scheduler), np.arange(len(table(scheduler))))


class DpmSolver(DPMSolverMultistepScheduler):
    """Takes the exact t of every sigma of a curve such as karras; diffusers rounds it."""

    def set_timesteps(self, *arguments, **options):
        super().set_timesteps(*arguments, **options)
        if self.config.use_karras_sigmas:
            self.timesteps = torch.tensor(t_of(self, self.sigmas[:-1]), dtype=torch.float32)


class DpmSolverKeepingGuesses(DpmSolver):
    """Lets a second drawing go on with the guesses of the first, so that the refiner's first step is of second
    order."""

    guesses = None

    def set_timesteps(self, *arguments, **options):
        guesses, self.guesses = self.guesses, None
        super().set_timesteps(*arguments, **options)
        if guesses:
            self.model_outputs, self.lower_order_nums = guesses

    def step(self, *arguments, **options):
        stepped = super().step(*arguments, **options)
        self.guesses = (list(self.model_outputs), self.lower_order_nums)
        return stepped


class DpmSolverFromSigma(DpmSolver):
    """Begins at noise x sigma instead of noise x sqrt(1 + sigma^2)."""

    def set_timesteps(self, *arguments, **options):
        super().set_timesteps(*arguments, **options)
        self.init_noise_sigma = self.sigmas[0] / (1 + self.sigmas[0] ** 2) ** 0.5


class Euler(EulerDiscreteScheduler):
    """Begins at noise x sqrt(1 + sigma^2) with every spacing; diffusers does so with leading only."""

    @property
    def init_noise_sigma(self):
        return (1 + self.sigmas[0] ** 2) ** 0.5


class EulerFromSigma(EulerDiscreteScheduler):
    """Begins at noise x sigma."""

    @property
    def init_noise_sigma(self):
        return self.sigmas[0]


class EulerOfWebUis(EulerFromSigma):
    """Takes the lists of k-diffusion: "normal" has n values of t from the last of the table to 0, karras reaches from
    end to end of the table."""

    def set_timesteps(self, *arguments, **options):
        super().set_timesteps(*arguments, **options)
        log_sigmas, steps = table(self), len(self.timesteps)
        if self.config.use_karras_sigmas:
            ends = np.exp(log_sigmas[[-1, 0]] / 7)
            sigmas = np.linspace(*ends, steps) ** 7
        else:
            t = np.linspace(len(log_sigmas) - 1, 0, steps)
            sigmas = np.exp(np.interp(t, np.arange(len(log_sigmas)), log_sigmas))
        self.timesteps = torch.tensor(t_of(self, sigmas), dtype=torch.float32)
        self.sigmas = torch.tensor([*sigmas, 0.0], dtype=torch.float32)


KARRAS = {"use_karras_sigmas": True}
ZERO = {"final_sigmas_type": "zero"}

# Our sampler and schedule -> the scheduler that does the same.
SCHEDULERS = {
    ("euler", "normal"): (Euler, {}),
    ("euler", "karras"): (Euler, KARRAS),
    ("euler_a", "normal"): (EulerAncestralDiscreteScheduler, {}),
    ("heun", "normal"): (HeunDiscreteScheduler, {}),
    ("ddim", "normal"): (DDIMScheduler, {}),
    ("dpmpp_2m", "normal"): (DPMSolverMultistepScheduler, ZERO),
    ("dpmpp_2m", "karras"): (DpmSolver, KARRAS | ZERO),
    ("unipc", "normal"): (UniPCMultistepScheduler, ZERO),
}


def rival(ours, theirs, differs=True, **other):
    """Describes what other programs do in a case: `other` are the arguments of Dump.draw that imitate it. It gives
    another picture unless `differs` is false."""
    return {"ours": ours, "theirs": theirs, "differs": differs, "other": other}


UNIT_START = "begins at noise x sqrt(1 + sigma^2), as {} and ComfyUI"
EULER_LIST = rival("diffusers' list for the model's own spacing; " + UNIT_START.format("diffusers with leading"),
                   "k-diffusion, A1111: t in equal parts from the table's end to 0; noise x sigma",
                   scheduler=(EulerOfWebUis, {}))
EULER_KARRAS = rival("karras between the first and the last sigma of the spacing, as diffusers",
                     "k-diffusion, A1111: between the ends of the table; noise x sigma",
                     scheduler=(EulerOfWebUis, KARRAS))
EULER_START = rival(UNIT_START.format("diffusers with leading"),
                    "diffusers with linspace and trailing, k-diffusion, A1111: noise x sigma",
                    scheduler=(EulerFromSigma, {}))
DPM_START = rival(UNIT_START.format("diffusers"), "k-diffusion, A1111: noise x sigma",
                  scheduler=(DpmSolverFromSigma, KARRAS | ZERO))
DPM_END = rival("the last step goes to sigma 0, as diffusers, k-diffusion, A1111 and ComfyUI",
                "diffusers with final_sigmas_type sigma_min: to the first sigma of the table",
                scheduler=(DpmSolver, KARRAS | {"final_sigmas_type": "sigma_min"}))
DPM_LAST = rival("the step to sigma 0 is of first order, as k-diffusion, A1111 and ComfyUI",
                 "diffusers without lower_order_final: the same", differs=False,
                 scheduler=(DpmSolver, KARRAS | ZERO | {"lower_order_final": False}))
ROUNDED = rival("t of a karras sigma is exact, as k-diffusion and A1111",
                "diffusers, ComfyUI: rounded to a whole number",
                scheduler=(DPMSolverMultistepScheduler, KARRAS | ZERO))
RESTART = rival("the refiner goes on with the guesses of the base, as A1111",
                "diffusers, ComfyUI: the refiner's first step is of first order",
                scheduler=(DpmSolver, KARRAS | ZERO))
