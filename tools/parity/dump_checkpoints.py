"""Writes tiny checkpoints of every family, as single files and as the same models in folders.

  dump_checkpoints.py OUT_FOLDER [--case NAME ...]

For every case OUT_FOLDER/NAME/ holds the files whose paths `make_case(NAME, OUT_FOLDER)` returns: "single": the file
people have (LDM .safetensors, kohya LoRA, ...), "folder": the same in the layout of diffusers (a whole pipeline's
save_pretrained, tokenizers included, or one component), and for adapters "expected": their changes as
COMPONENT/MODULE/{down,up,mid,alpha}. The names of the single files come from ldm_inverse.py, and are checked here by
diffusers' own converters.
"""

import argparse
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import checkpoint_adapters  # noqa: E402
import checkpoint_models as models  # noqa: E402
import dump_tokenizers  # noqa: E402
import ldm_inverse as ldm  # noqa: E402

F16, BF16, F32 = torch.float16, torch.bfloat16, torch.float32
SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                num_train_timesteps=1000, steps_offset=1)


def contiguous(state, dtype=None):
    return {key: (value.to(dtype) if dtype and value.is_floating_point() else value).contiguous()
            for key, value in state.items()}


def save_component(folder, model, state, dtype):
    """Saves config.json as the library writes it, and weights under the names of published folders."""
    model.save_pretrained(folder)
    path = next(pathlib.Path(folder).glob("*.safetensors"))
    save_file(contiguous(state, dtype), path, metadata={"format": "pt"})


def tokenizers(folder, kinds):
    """`kinds`: (name of the folder, kind of dump_tokenizers.clip_folders)."""
    made = dump_tokenizers.clip_folders(folder / "tokenizers.tmp")
    for name, kind in kinds:
        shutil.copytree(made[kind], folder / name)
        path = folder / name / "tokenizer_config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        config.update(model_max_length=77, tokenizer_class="CLIPTokenizer")
        path.write_text(json.dumps(config), encoding="utf-8")
    shutil.rmtree(folder / "tokenizers.tmp")


def save_index(folder, pipeline, parts, more=()):
    index = {"_class_name": pipeline, "_diffusers_version": "0.42.1", **parts, **dict(more)}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def save_scheduler(folder, name, **more):
    import diffusers
    getattr(diffusers, name)(**SCHEDULE, **more).save_pretrained(folder / "scheduler")
    return ["diffusers", name]


def without_last_layer(state, layers):
    last = f"text_model.encoder.layers.{layers - 1}."
    return {key: value for key, value in state.items() if not key.startswith(last)}


def diffusers_part(name):
    return ["diffusers", name]


def transformers_part(name):
    return ["transformers", name]


NO_CHECKER = [("safety_checker", [None, None]), ("feature_extractor", [None, None]),
              ("requires_safety_checker", False)]


def sd1(out, in_channels=4, image=False):
    """Stable Diffusion 1: one CLIP tower, with a buffer or two that the released file has."""
    folder = out / "folder"
    network = models.unet(dict(models.SD1, in_channels=in_channels), 1)
    auto = models.vae(0.18215, 2)
    unet_state, vae_state = models.state_of(network), models.state_of(auto)
    single = {**ldm.below("model.diffusion_model.", ldm.ldm_unet(unet_state, network.config)),
              **ldm.below("first_stage_model.", ldm.ldm_vae(vae_state, auto.config))}
    ldm.check_unet(single, unet_state, network.config)
    ldm.check_vae(single, vae_state, auto.config)
    save_component(folder / "unet", network, unet_state, F32)
    save_component(folder / "vae", auto, vae_state, F32)
    parts = {"unet": diffusers_part("UNet2DConditionModel"), "vae": diffusers_part("AutoencoderKL"),
             "scheduler": save_scheduler(folder, "PNDMScheduler", skip_prk_steps=True,
                                         set_alpha_to_one=False)}
    if image:
        eye = models.vision(3)
        state = models.state_of(eye)
        single.update(ldm.below("cond_stage_model.model.visual.",
                                ldm.openai_vision(state, eye.config.num_hidden_layers)))
        save_component(folder / "image_encoder", eye, state, F32)
        parts["image_encoder"] = transformers_part("CLIPVisionModelWithProjection")
    else:
        tower = models.text(models.CLIP, 3, projection=False)
        state = models.state_of(tower)
        prefix = "cond_stage_model.transformer."
        single.update(ldm.below(prefix, state))
        ldm.check_clip(single, state, prefix)
        single[prefix + "text_model.embeddings.position_ids"] = torch.arange(77)[None]
        single["model_ema.decay"] = torch.tensor(0.9999)
        single["alphas_cumprod"] = torch.linspace(1, 0, 1000)
        save_component(folder / "text_encoder", tower, state, F32)
        tokenizers(folder, [("tokenizer", "clip_sd1")])
        parts["text_encoder"] = transformers_part("CLIPTextModel")
        parts["tokenizer"] = transformers_part("CLIPTokenizer")
    kind = ("StableDiffusionImageVariationPipeline" if image else
            "StableDiffusionInpaintPipeline" if in_channels == 9 else "StableDiffusionPipeline")
    save_index(folder, kind, parts, NO_CHECKER)
    return finish(out, single, folder, F32)


def sd2(out, v_prediction, in_channels=4):
    """Stable Diffusion 2: an OpenCLIP tower whose last layer the folder leaves out."""
    folder = out / "folder"
    network = models.unet(dict(models.SD2, in_channels=in_channels), 11)
    with torch.no_grad():  # the sign by which the two trainings are told apart
        norm = network.up_blocks[3].attentions[2].transformer_blocks[0].norm1
        norm.bias *= (0.2 if v_prediction else 0.02) / norm.bias.std()
    auto = models.vae(0.18215, 12)
    whole = models.text(models.SD2_CLIP, 13, projection=True)
    layers = models.SD2_CLIP["num_hidden_layers"]
    short = models.text(dict(models.SD2_CLIP, num_hidden_layers=layers - 1), 13, projection=False)
    unet_state, vae_state = models.state_of(network), models.state_of(auto)
    whole_state = models.state_of(whole)
    short_state = without_last_layer(whole_state, layers)
    del short_state["text_projection.weight"]
    prefix = "cond_stage_model.model."
    single = {**ldm.below("model.diffusion_model.", ldm.ldm_unet(unet_state, network.config)),
              **ldm.below("first_stage_model.", ldm.ldm_vae(vae_state, auto.config)),
              **ldm.below(prefix, ldm.openclip_text(whole_state, layers))}
    ldm.check_unet(single, unet_state, network.config)
    ldm.check_vae(single, vae_state, auto.config)
    ldm.check_openclip(single, short_state, prefix, whole.config)
    save_component(folder / "unet", network, unet_state, F16)
    save_component(folder / "vae", auto, vae_state, F16)
    save_component(folder / "text_encoder", short, short_state, F16)
    tokenizers(folder, [("tokenizer", "clip_pad")])
    parts = {"unet": diffusers_part("UNet2DConditionModel"), "vae": diffusers_part("AutoencoderKL"),
             "text_encoder": transformers_part("CLIPTextModel"),
             "tokenizer": transformers_part("CLIPTokenizer"),
             "scheduler": save_scheduler(folder, "DDIMScheduler", clip_sample=False,
                                         set_alpha_to_one=False,
                                         prediction_type="v_prediction" if v_prediction else "epsilon")}
    kind = "StableDiffusionInpaintPipeline" if in_channels == 9 else "StableDiffusionPipeline"
    save_index(folder, kind, parts, NO_CHECKER)
    return finish(out, single, folder, F16)


def sdxl(out, refiner=False, in_channels=4, network=models.SDXL):
    folder = out / "folder"
    config = dict(models.REFINER if refiner else network, in_channels=in_channels)
    dtype = BF16 if refiner else F16
    network, auto = models.unet(config, 21 + refiner), models.vae(0.13025, 23)
    second = models.text(models.OPENCLIP, 25, projection=True)
    unet_state, vae_state = models.state_of(network), models.state_of(auto)
    second_state = models.state_of(second)
    prefix = f"conditioner.embedders.{0 if refiner else 1}.model."
    single = {**ldm.below("model.diffusion_model.", ldm.ldm_unet(unet_state, network.config)),
              **ldm.below("first_stage_model.", ldm.ldm_vae(vae_state, auto.config)),
              **ldm.below(prefix, ldm.openclip_text(second_state, models.OPENCLIP["num_hidden_layers"]))}
    ldm.check_unet(single, unet_state, network.config)
    ldm.check_vae(single, vae_state, auto.config)
    ldm.check_openclip(single, second_state, prefix, second.config)
    save_component(folder / "unet", network, unet_state, dtype)
    save_component(folder / "vae", auto, vae_state, dtype)
    save_component(folder / "text_encoder_2", second, second_state, dtype)
    parts = {"unet": diffusers_part("UNet2DConditionModel"), "vae": diffusers_part("AutoencoderKL"),
             "text_encoder": [None, None], "tokenizer": [None, None],
             "text_encoder_2": transformers_part("CLIPTextModelWithProjection"),
             "tokenizer_2": transformers_part("CLIPTokenizer"),
             "scheduler": save_scheduler(folder, "EulerDiscreteScheduler")}
    if not refiner:
        first = models.text(models.CLIP, 24, projection=False)
        first_state = models.state_of(first)
        clip = "conditioner.embedders.0.transformer."
        single.update(ldm.below(clip, first_state))
        ldm.check_clip(single, first_state, clip)
        save_component(folder / "text_encoder", first, first_state, dtype)
        parts["text_encoder"] = transformers_part("CLIPTextModel")
        parts["tokenizer"] = transformers_part("CLIPTokenizer")
    tokenizers(folder, [("tokenizer_2", "clip_sdxl_2")] + [("tokenizer", "clip")] * (not refiner))
    kind = ("StableDiffusionXLImg2ImgPipeline" if refiner else
            "StableDiffusionXLInpaintPipeline" if in_channels == 9 else "StableDiffusionXLPipeline")
    more = {"force_zeros_for_empty_prompt": not refiner}
    if refiner or in_channels == 9:
        more["requires_aesthetics_score"] = refiner
    save_index(folder, kind, parts, more)
    return finish(out, single, folder, dtype)


def pangu_draw_3(out):
    """Two files that differ in their UNets: low noise (texture) and high noise (structure)."""
    folder = out / "folder"
    texture, structure = models.unet(models.PANGU, 31), models.unet(models.PANGU, 32)
    auto = models.vae(0.13025, 33)
    first = models.text(models.CLIP, 34, projection=False)
    second = models.text(models.OPENCLIP, 35, projection=True)
    states = {"unet_texture": models.state_of(texture), "unet": models.state_of(structure),
              "vae": models.state_of(auto), "text_encoder": models.state_of(first),
              "text_encoder_2": models.state_of(second)}
    beside = {**ldm.below("conditioner.embedders.0.transformer.", states["text_encoder"]),
              **ldm.below("conditioner.embedders.1.model.",
                          ldm.openclip_text(states["text_encoder_2"],
                                            models.OPENCLIP["num_hidden_layers"])),
              **ldm.below("first_stage_model.", ldm.ldm_vae(states["vae"], auto.config))}
    with open(pathlib.Path(__file__).parents[2] / "tests/parity/data/pangu_draw_3_tensors.tsv",
              encoding="utf-8") as table:
        released = {line.split("\t")[0] for line in table}
    singles = {}
    for name, part, network in (("pangu_low", "unet_texture", texture),
                                ("pangu_high", "unet", structure)):
        single = {**ldm.below("model.diffusion_model.", ldm.ldm_unet(states[part], network.config)),
                  **beside}
        ldm.check_unet(single, states[part], network.config)
        unknown = {ldm.mindspore_name(key) for key in single} - released
        assert not unknown, sorted(unknown)[:5]
        singles[name] = out / f"{name}.ckpt"
        ldm.write_mindspore(singles[name], single)
    for name, model in (("unet", structure), ("unet_texture", texture), ("vae", auto),
                        ("text_encoder", first), ("text_encoder_2", second)):
        save_component(folder / name, model, states[name], F32)
    tokenizers(folder, [("tokenizer_2", "clip_sdxl_2")])
    (folder / "tokenizer").mkdir()
    shutil.copy(dump_tokenizers.CHINESE, folder / "tokenizer" / "vocab.txt")
    return {"single": singles["pangu_low"], "single_high": singles["pangu_high"], "folder": folder}


def controlnet(out, family):
    """One file in LDM's names, the same as a folder, and as a bare file of diffusers."""
    network = models.unet(models.SD1 if family == "sd1" else models.SDXL, 1 if family == "sd1" else 21)
    model = models.controlnet(network, 41)
    state = models.state_of(model)
    bare = ldm.ldm_controlnet(state, model.config)
    single = ldm.below("control_model.", bare)
    ldm.check_unet(bare, state, model.config, control=True)
    save_component(out / "folder", model, state, F32)
    save_file(contiguous(bare), out / "bare.safetensors")
    return {**finish(out, single, out / "folder", F32), "bare": out / "bare.safetensors"}


def tiny_vae(out):
    """TAESD's two files: in them the decoder's layers have numbers one greater than in diffusers."""
    from diffusers import AutoencoderTiny
    torch.manual_seed(51)
    model = models.randomised(AutoencoderTiny(), 51)
    state = models.state_of(model)
    halves = {"encoder": {}, "decoder": {}}
    for key, value in state.items():
        half, _, index, leaf = key.split(".", 3)
        halves[half][f"{int(index) + (half == 'decoder')}.{leaf}"] = value
    for half, tensors in halves.items():
        save_file(contiguous(tensors), out / f"taesd_{half}.safetensors")
    save_component(out / "folder", model, state, F32)
    return {"single": out / "taesd_decoder.safetensors", "encoder": out / "taesd_encoder.safetensors",
            "folder": out / "folder"}


def finish(out, single, folder, dtype):
    path = out / "single.safetensors"
    save_file(contiguous(single, dtype), path)
    return {"single": path, "folder": folder}


CASES = {
    "sd1": sd1,
    "sd1_inpaint": lambda out: sd1(out, in_channels=9),
    "image_variations": lambda out: sd1(out, image=True),
    "sd2": lambda out: sd2(out, v_prediction=False),
    "sd2_v": lambda out: sd2(out, v_prediction=True),
    "sd2_inpaint": lambda out: sd2(out, v_prediction=False, in_channels=9),
    "sdxl": sdxl,
    "sdxl_inpaint": lambda out: sdxl(out, in_channels=9),
    "sdxl_refiner": lambda out: sdxl(out, refiner=True),
    "ssd_1b": lambda out: sdxl(out, network=models.SSD_1B),
    "pangu_draw_3": pangu_draw_3,
    "controlnet_sd1": lambda out: controlnet(out, "sd1"),
    "controlnet_sdxl": lambda out: controlnet(out, "sdxl"),
    "taesd": tiny_vae,
    **checkpoint_adapters.CASES,
}


def make_case(name, out_dir):
    """Makes OUT_DIR/NAME; returns {what: path}. The same name gives the same bytes every time."""
    out = pathlib.Path(out_dir) / name
    out.mkdir(parents=True)
    return CASES[name](out)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--case", action="append", choices=CASES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.case or CASES:
        paths = make_case(name, arguments.out)
        found = {what: str(path.relative_to(arguments.out)) for what, path in paths.items()}
        (arguments.out / name / "paths.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
