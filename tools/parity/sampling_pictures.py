"""Pictures about samplers, schedules, spacings and batches, for dump_pictures.py. `dump` is its Dump; the sampler and
schedule that people get unless they ask are dpmpp_2m and karras.
"""

import picture_models as tiny
from picture_models import PROMPT, SIZE
from picture_schedulers import (DPM_END, DPM_LAST, DPM_START, EULER_KARRAS, EULER_LIST, EULER_START, KARRAS, RESTART,
                                ROUNDED, ZERO, DpmSolverKeepingGuesses)

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
    """Every sampler of which diffusers has the same, and the order of a batch's seeds."""
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
    """Every picture of a batch is the one that diffusers draws alone."""
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
