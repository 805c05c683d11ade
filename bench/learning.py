#!/usr/bin/env python3
"""Whether trainings learn what one can see: a time-decoupled pair in SDXL's topology from random weights, and a LoRA of a
thing that models/mini was never shown.

    bench/learning.py pair PROGRAM DATA FOLDER --inception FILE [--steps N] [--page]
    bench/learning.py lora PROGRAM DATA FOLDER --inception FILE [--concept sloth] [--page]
    bench/learning.py {pair,lora} --page

DATA is a folder of `tools/mini_dataset.py --edition 1`, FILE of `tools/export_inception.py`. FOLDER keeps what is made; the
same command goes on there. Scores are appended to bench/results/learning.jsonl, --page puts the last ones into
docs/training.md and the pictures into docs/images.

pair: configs/sdxl_small trains the two generators side by side, a core each, on animals and plants as 3D renders with English
captions. The text encoders are CLIP's of small width with random weights, which tell words apart and mean nothing; the
autoencoder is models/mini's. `eval` then asks its probe, fitted on all real pictures, what the drawn pictures show.
lora: twenty pictures are made of the drawings of one held-out concept, and a LoRA of each expert learns them. Pictures are
drawn with it and without, with the same seeds; the features of the packaged Inception tell how near they are to the real
drawings of that concept and to those of other concepts.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "peers"), str(HERE), str(ROOT / "tools/parity"), str(ROOT / "tools")]
import records  # noqa: E402

RESULTS = records.RESULTS / "learning.jsonl"
GROUP, STYLE = "animals-nature", "3d"
BATCH = 32  # of configs/sdxl_small
SHOWN = 24  # pictures of the pair's sheet
WIDTHS = {"text_encoder": (128, 4), "text_encoder_2": (256, 6)}  # and layers


def run(*words, **more):
    subprocess.run([str(word) for word in words], check=True, **more)


def chosen(data):
    """The items of DATA that the pair is trained on."""
    items = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    return [i for i in items if i["style"] == STYLE and i["group"] == GROUP and i["split"] == "train"]


def write_pictures(items, data, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images").unlink(missing_ok=True)
    (folder / "images").symlink_to((data / "images").resolve())
    lines = [json.dumps(item | {"captions": {"en": item["captions"]["en"], "zh": []}}) for item in items]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")


def text_encoder(width, layers, seed):
    """CLIP's text encoder with random weights: an embedding of words that is loud beside that of positions, and layers that
    keep variances, so that the states of different words differ."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
    torch.manual_seed(seed)
    config = CLIPTextConfig(vocab_size=49408, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
                            num_attention_heads=width // 32, hidden_act="gelu" if width > 128 else "quick_gelu",
                            projection_dim=width, bos_token_id=49406, eos_token_id=49407)
    model = (CLIPTextModelWithProjection if width > 128 else CLIPTextModel)(config)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.0 if "token_embedding" in name else 0.1 if "position_embedding" in name
                                  else parameter[0].numel() ** -0.5)
    return model


def write_parts(folder):
    """A model folder of SDXL's family without its denoiser."""
    from checkpoint_models import state_of
    from picture_models import tokenizer
    from safetensors.torch import save_file
    for i, (name, (width, layers)) in enumerate(WIDTHS.items()):
        model = text_encoder(width, layers, i)
        model.config.save_pretrained(folder / name)
        save_file({key: value.contiguous() for key, value in state_of(model).items()}, folder / name / "model.safetensors",
                  metadata={"format": "pt"})
        tokenizer(folder / ("tokenizer" + name.removeprefix("text_encoder")), pad="!" if i else "<|endoftext|>")
    shutil.copytree(ROOT / "models/mini/vae", folder / "vae", dirs_exist_ok=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps({
        "_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "timestep_spacing": "leading", "steps_offset": 1}))
    classes = {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"}
    parts = {name: ["transformers", kind] for name, kind in classes.items()}
    parts |= {"tokenizer": ["transformers", "CLIPTokenizer"], "tokenizer_2": ["transformers", "CLIPTokenizer"],
              "scheduler": ["diffusers", "EulerDiscreteScheduler"], "vae": ["diffusers", "AutoencoderKL"],
              "unet": ["diffusers", "UNet2DConditionModel"]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline",
                                                         "force_zeros_for_empty_prompt": True, **parts}, indent=2))


def train_pair(args, folder):
    """Both generators side by side, a thread each. Returns the seconds on the wall of this run."""
    begun = time.monotonic()
    precision = "bf16" if records.multiplies_bf16(records.processor_flags()) else "no"
    trainings = []
    for expert in ("structure", "texture"):
        command = [args.program, "train", ROOT / f"configs/sdxl_small/{expert}.toml", "--threads", 1, "-q"]
        for item in (f'model_dir="{folder}/parts"', f'train_data_dir=["{folder}/pictures"]', f'output_dir="{folder}/pair"',
                     f'cache_dir="{folder}/cache"', "replicas=1",
                     f'mixed_precision="{precision}"', *([f"max_train_steps={args.steps}"] if args.steps else [])):
            command += ["--set", item]
        trainings.append(subprocess.Popen([str(word) for word in command]))
        # The first writes the random weights that both begin with.
        while not (folder / "pair/training/initial_unet/made_of.json").exists() and trainings[0].poll() is None:
            time.sleep(0.5)
    if codes := [t.returncode for t in trainings if t.wait() != 0]:
        sys.exit(f"bench/learning.py: a training ended with {codes[0]}")
    return time.monotonic() - begun


def write_ruler(data, folder, split_of):
    """A dataset for `eval` with all pictures of DATA, so that its probe knows all concepts; split_of says an item's split."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images").is_symlink():
        (folder / "images").symlink_to((data / "images").resolve())
    lines = (data / "manifest.jsonl").read_text().splitlines()
    items = [item | {"split": split_of(item)} for item in map(json.loads, lines)]
    (folder / "manifest.jsonl").write_text("\n".join(json.dumps(item) for item in items) + "\n")
    return items


def hits(args, folder, model, ruler, group, prompts, seeds, *flags):
    """What the probe says of English prompts of one group: how many pictures, how often the concept is its best guess and
    among its best five."""
    found = [0, 0, 0]
    for seed in seeds:
        out = folder / "scores.json"
        run(args.program, "eval", "--model", model, "--data", ruler, "--inception", args.inception, "--only", "probe",
            "--prompts", prompts, "--cache", folder / "features.safetensors", "--seed", seed, "--json", out, "-q", *flags,
            stdout=subprocess.DEVNULL)
        for score in json.loads(out.read_text())["groups"]:
            if score["group"] == group and score["language"] == "en":
                counted = score["concept"]
                found = [a + b for a, b in zip(found, (counted["count"], counted["top1"], counted["top5"]))]
    return dict(zip(("pictures", "top1", "top5"), found))


def draw(args, folder, model, prompts, *flags):
    """Pictures of prompts with the seeds 0, 1, ..., in their order."""
    from PIL import Image
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for seed, prompt in enumerate(prompts):
        run(args.program, "draw", prompt, "--model", model, "--seed", seed, "-q", "--out", folder / f"{seed:03}.png", *flags)
    return [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.png"))]


def write_sheet(pictures, columns, name, side=128):
    from PIL import Image
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture.resize((side, side), Image.LANCZOS), (i % columns * side, i // columns * side))
    sheet.save(ROOT / f"docs/images/{name}.webp", quality=85, method=6)


def cost_of(training):
    """Of all runs together, as the metrics have it; time for which a run stood still counts."""
    metrics = [json.loads(line) for line in (training / "metrics.jsonl").read_text().splitlines()]
    spans = [b["seconds"] - a for a, b in zip([0.0, *(line["seconds"] for line in metrics)], metrics)]
    return {"samples": metrics[-1]["step"] * BATCH, "seconds": metrics[-1]["seconds"],
            "gflop": sum(line["gflop_per_second"] * span for line, span in zip(metrics, spans))}


def pair(args, folder):
    items = chosen(args.data)
    write_pictures(items, args.data, folder / "pictures")
    if not (folder / "parts/model_index.json").exists():
        write_parts(folder / "parts")
    wall = train_pair(args, folder)
    model = folder / "pair"
    trained = {item["concept_id"] for item in items}
    ruler = folder / "ruler"
    write_ruler(args.data, ruler, lambda item: "train" if item["style"] == STYLE and item["concept_id"] in trained
                and item["split"] == "train" else "other")
    scores = hits(args, folder, model, ruler, "train", 100, [0])
    shown = items[::max(1, len(items) // SHOWN)][:SHOWN]
    write_sheet(draw(args, folder / "drawn", model, [item["captions"]["en"][0] for item in shown]), 8, "learning_pair")
    costs = [cost_of(model / f"training/{expert}") for expert in ("structure", "texture")]
    return {"pictures_trained_on": len(items), "seconds_of_last_run": wall, "costs": costs, "hits": scores,
            "shown": [item["concept"] for item in shown]}


def write_variants(items, data, folder):
    """Twenty pictures of a concept's drawings, turned over, moved and scaled, with captions that name it."""
    import numpy as np
    from PIL import Image, ImageOps
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for i in range(20):
        item = items[i % len(items)]
        drawing = Image.open(data / item["file"]).convert("RGBA")
        side = int(256 * random.uniform(0.75, 1.0))
        drawing = drawing.resize((side, side), Image.LANCZOS)
        if random.integers(2):
            drawing = ImageOps.mirror(drawing)
        left, top = (int(random.integers(0, 257 - side)) for _ in range(2))
        picture = Image.new("RGBA", (256, 256), "white")
        picture.alpha_composite(drawing, (left, top))
        picture.convert("RGB").save(folder / f"{i:02}.png")
        words = [*item["captions"]["en"][:3], *item["captions"]["zh"][:3]]
        (folder / f"{i:02}.txt").write_text("\n".join(words) + "\n")


def seconds_trained(out):
    """Of both experts in all runs together, as their metrics have it."""
    return sum(json.loads(metrics.read_text().splitlines()[-1])["seconds"] for metrics in out.with_suffix("").rglob("metrics.jsonl"))


def lora(args, folder):
    manifest = (args.data / "manifest.jsonl").read_text().splitlines()
    items = [i for i in map(json.loads, manifest) if i["concept"] == args.concept and i["split"] == "heldout_concept"]
    if not items:
        sys.exit(f"bench/learning.py: --concept: expected one that is held out, found '{args.concept}'")
    write_variants(items, args.data, folder / "pictures")
    out, model = folder / "thing.safetensors", ROOT / "models/mini"
    command = [args.program, "train", "--lora", "--model", model, "--data", folder / "pictures", "--out", out, "--rank", 16, "-q",
               "--steps", args.steps or 500]
    for item in ("train_batch_size=8", "learning_rate=1e-3", "validation_split=0.15", "lr_scheduler=cosine"):
        command += ["--set", item]
    run(*command)
    with_lora = [word for name in ("structure", "texture") for word in ("--lora", f"{out.with_suffix('')}_{name}.safetensors")]
    ruler = folder / "ruler"
    write_ruler(args.data, ruler, lambda item: "heldout_concept" if item["concept"] == args.concept else "train")
    seeds = range(0, 10 * args.seeds, 10)
    prompts = [items[i % len(items)]["captions"]["en"][0] for i in range(8)]
    drawn = [draw(args, folder / f"drawn{bool(flags)}", model, prompts, *flags) for flags in ((), with_lora)]
    write_sheet([*drawn[0], *drawn[1]], 8, "learning_lora")
    validation = {}
    for name in ("structure", "texture"):
        lines = [json.loads(x) for x in next(out.with_suffix("").rglob(f"{name}/**/validation.jsonl")).read_text().splitlines()]
        validation[name] = lines[0], lines[-1]
    return {"concept": args.concept, "seconds_trained": seconds_trained(out), "validation": validation,
            "without": hits(args, folder, model, ruler, "heldout_concept", 2, seeds),
            "with": hits(args, folder, model, ruler, "heldout_concept", 2, seeds, *with_lora)}


def pair_section(record):
    found, costs = record["hits"], record["costs"]
    gflop = sum(cost["gflop"] for cost in costs)
    hours = sum(cost["seconds"] for cost in costs) / 3600
    return (f"{record['pictures_trained_on']} pictures, {' and '.join(str(cost['samples']) for cost in costs)} samples of the structure and "
            f"the texture generator, {gflop:.2e} GFLOP and the optimiser's, {hours:.1f} hours of one core in all ({record['machine']}). Of "
            f"{found['pictures']} drawn prompts the probe sees the concept as its best guess in {found['top1']}, among its best five of "
            f"973 in {found['top5']}.\n\n![drawn by the pair](images/learning_pair.webp)\n\nFrom left to right: "
            f"{', '.join(record['shown'])}.\n")


def lora_section(record):
    losses = "; ".join(f"{name} {first['loss']:.3f} -> {last['loss']:.3f}" for name, (first, last) in record["validation"].items())
    rows = [[what, str(record[key]["pictures"]), str(record[key]["top1"]), str(record[key]["top5"])]
            for what, key in (("models/mini", "without"), ("with the LoRA", "with"))]
    return (records.table(["drawn by", "pictures", f"{record['concept']} as best guess", "among the best five of 973"], rows)
            + f"\nLosses on pictures kept back: {losses}; {record['seconds_trained'] / 60:.0f} minutes on {record['machine']}.\n\n"
              f"![without and with the LoRA](images/learning_lora.webp)\n\nAbove without, below with the LoRA, with the same seeds.\n")


SECTIONS = {"pair": pair_section, "lora": lora_section}


def write_page(what):
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    found = [record for record in map(json.loads, lines) if record["what"] == what]
    section = SECTIONS[what](found[-1]) if found else "Not run yet by this command.\n"
    records.write_section("docs/training.md", f"bench/learning {what}", section)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("what", choices=SECTIONS)
    parser.add_argument("program", nargs="?", type=pathlib.Path)
    parser.add_argument("data", nargs="?", type=pathlib.Path)
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--inception", type=pathlib.Path)
    parser.add_argument("--steps", type=int, help="of each generator (default: as the files say, 500 of the LoRA)")
    parser.add_argument("--concept", default="sloth")
    parser.add_argument("--seeds", type=int, default=16, help="of the LoRA's scores, of each a picture with it and one without")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    if args.folder:
        if not args.inception:
            parser.error("--inception: expected weights of tools/export_inception.py, found nothing")
        args.data, args.inception = args.data.resolve(), args.inception.resolve()
        folder = args.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        record = {"what": args.what, "time": records.now(), "version": records.program_version(),
                  "machine": records.processor()["model name"], **{"pair": pair, "lora": lora}[args.what](args, folder)}
        records.append(RESULTS, record)
        print(json.dumps(record, indent=1))
    elif not args.page:
        parser.error("expected PROGRAM, DATA and FOLDER, or --page")
    if args.page:
        write_page(args.what)


if __name__ == "__main__":
    main()
