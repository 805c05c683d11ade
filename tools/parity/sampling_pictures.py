"""Draws pictures of samplers, schedules, spacings, windows of ControlNets and batches, for dump_pictures.py. `dump` is
its Dump; the default sampler and schedule are dpmpp_2m and karras.
"""

import picture_models as tiny
from picture_models import PROMPT, SIZE
from picture_schedulers import (DPM_END, DPM_LAST, DPM_START, EULER_KARRAS, EULER_LIST, EULER_START, KARRAS, RESTART,
                                ROUNDED, ZERO, DpmSolver, DpmSolverKeepingGuesses, rival, t_of)

DEFAULT = ("dpmpp_2m", "karras")
NORMAL = ("schedule normal", {"schedule": "normal"})
TEXT = {"prompt": PROMPT, **SIZE}
AGAINST = {**TEXT, "negative_prompt": "blurry"}

# Sampler and schedule -> the setting that tells it from its nearest neighbour, and what others do.
SAMPLERS = {
    ("euler", "normal"): (("spacing linspace", {"spacing": "linspace"}), [EULER_LIST]),
    ("euler", "karras"): (NORMAL, [EULER_KARRAS]),
    ("euler_a", "normal"): (("euler", {"sampler": "euler"}), []),
    ("heun", "normal"): (("euler", {"sampler": "euler"}), []),
    ("ddim", "normal"): (("euler", {"sampler": "euler"}), []),
    ("dpmpp_2m", "normal"): (("euler", {"sampler": "euler"}), []),
    ("dpmpp_2m", "karras"): (NORMAL, [ROUNDED, DPM_START, DPM_END, DPM_LAST]),
    ("unipc", "normal"): (("dpmpp_2m", {"sampler": "dpmpp_2m"}), []),
}


def samplers(dump, pipeline, model):
    """Draws with every sampler that diffusers has too, and tests the order of a batch's seeds."""
    for sampler, (change, rivals) in SAMPLERS.items():
        dump.draw(f"sd15 text to image: {' '.join(sampler)}", pipeline, model, sampler, AGAINST,
                  {"negative": "blurry"}, change=change, rivals=rivals)
    spacings(dump, "sd15", pipeline, model)
    batch(dump, "sd15", pipeline, model, ("euler_a", "normal"))
    batch(dump, "sd15", pipeline, model, DEFAULT)


def spacings(dump, family, pipeline, model):
    for spacing in ("linspace", "trailing"):
        dump.draw(f"{family} text to image: euler, {spacing}", pipeline, model, ("euler", "normal"), TEXT,
                  {"spacing": spacing}, change=("spacing leading", {"spacing": "leading"}), rivals=[EULER_START])


def batch(dump, family, pipeline, model, sampler):
    """Draws a batch, of which every picture is the one that diffusers draws alone."""
    dump.draw(f"{family} text to image: three at once, {' '.join(sampler)}", pipeline, model, sampler, TEXT,
              {"count": 3}, change=("seeds one further", {"seed": dump.seed + 1}))


def defaults(dump, family, pipeline, model):
    dump.draw(f"{family} text to image: dpmpp_2m karras", pipeline, model, DEFAULT, TEXT, change=NORMAL,
              rivals=[ROUNDED, DPM_START])
    spacings(dump, family, pipeline, model)
    batch(dump, family, pipeline, model, DEFAULT)


def from_picture(dump, family, pipeline, model, start):
    dump.draw(f"{family} image to image: dpmpp_2m karras", pipeline, model, DEFAULT,
              {"prompt": PROMPT, "image": start, "strength": 0.5},
              {"init_image": dump.image(f"start_{family}", start), "strength": 0.5}, change=NORMAL, rivals=[ROUNDED])


def refined(dump, base, refiner, model, refiner_model):
    dump.draw("sdxl with refiner: dpmpp_2m karras", tiny.Together(base, refiner), model, DEFAULT,
              {"prompt": PROMPT, "num_inference_steps": 10}, change=NORMAL, rivals=[RESTART],
              scheduler=(DpmSolverKeepingGuesses, KARRAS | ZERO), refiner=refiner_model, refiner_start=0.6)


def window(dump, family, pipeline, model, net, hint, first, end):
    """Draws with a ControlNet in steps `first` to `end` of ten. In karras, turning sigma into t and back gives a lower
    sigma at steps 1, 4 and 8: a program that derives the step from t is off by one there."""
    steps = 10
    scheduler = DpmSolver.from_config(tiny.scheduler().config, **KARRAS)
    scheduler.set_timesteps(steps)
    share_of_t = 1 - t_of(scheduler, scheduler.sigmas[:-1]) / 999
    inside = [i for i, share in enumerate(share_of_t) if first <= share * steps <= end]

    def acting(begin, behind):
        return {"control_guidance_start": begin / steps, "control_guidance_end": behind / steps}

    ours = "a step acts if it lies whole within the share of the steps, as diffusers"
    rivals = [rival(ours, "A1111's extension: if it begins within", call=acting(first, end + 1)),
              rival(ours, "ComfyUI: the share is of t", call=acting(inside[0], inside[-1] + 1))]
    use = {"image": dump.image(f"hint_{family}", hint), "weight": 0.8, "from": first / steps, "to": end / steps}
    shorter = {**use, "to": (end - 1) / steps}
    dump.draw(f"{family} controlnet: window, dpmpp_2m karras", pipeline, model, DEFAULT,
              {"prompt": PROMPT, "image": hint, "controlnet_conditioning_scale": 0.8, "num_inference_steps": steps,
               **acting(first, end)},
              {"controls": [use]}, change=("one step less", {"controls": [shorter]}), rivals=rivals, controlnets=[net])
