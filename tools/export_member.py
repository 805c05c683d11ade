"""A member of Coop-Diffusion out of a training: the folder that `pangu-draw coop` reads.

Usage: export_member.py low|edges|variation TRAINING MODEL
"""

import json
import pathlib
import shutil
import sys

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs/members"
MINI = pathlib.Path(__file__).resolve().parents[1] / "models/mini"


def main(member: str, training: str, model: str) -> None:
    training, model = pathlib.Path(training), pathlib.Path(model)
    index = {"_class_name": "PanGuDrawPipeline", "_pangu_version": 1,
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["pangu_draw", "PixelSpace"],
             "scheduler": ["diffusers", "DDIMScheduler"],
             "default_size": [128, 128], "default_steps": 20,
             "default_guidance": {"low": 4.0, "edges": 1.0, "variation": 2.0}[member]}
    if member == "low":
        index["default_guidance_low"] = 3.0
    parts = ["unet"]
    if member == "variation":
        index["image_encoder"] = ["transformers", "CLIPVisionModelWithProjection"]
        parts.append("image_encoder")
    else:
        index["text_model"] = "../mini"
        index["style_prompts"] = json.loads((MINI / "model_index.json").read_text())["style_prompts"]
    for part in parts:
        shutil.copytree(training / part, model / part, dirs_exist_ok=True)
    (model / "vae").mkdir(exist_ok=True)
    shutil.copy(CONFIGS / "vae.json", model / "vae/config.json")
    (model / "scheduler").mkdir(exist_ok=True)
    scheduler = json.loads((MINI / "scheduler/scheduler_config.json").read_text())
    scheduler["prediction_type"] = "sample"
    (model / "scheduler/scheduler_config.json").write_text(json.dumps(scheduler, indent=2) + "\n")
    (model / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
