#!/usr/bin/env python3
"""Trains at released sizes with random weights: the most memory and the time of a step of every row of docs/training.md's
table, whose bars are here.

    bench/train_memory.py BUILD FOLDER [--rows lora_sd15 lora_sdxl_512 ...] [--steps 4] [--threads 2] [--page]
    bench/train_memory.py --page

BUILD is the folder with pangu-draw and bench_train_step (ninja pangu-draw bench_train_step). FOLDER keeps the weights that
are made, 2 GB for SD 1.5 and 7 GB for SDXL, and for a while a checkpoint, 15 GB for the generator of PanGu-Draw 3. All rows
are in bf16, also where the processor computes products in f32, which takes longer. Every row is a process of its own, one picture
a step, whose VmHWM counts the pages of mapped weights. A LoRA has rank 16, and its first run, which fills the cache, is
counted for itself ("encoding"). What was found is printed and appended to bench/results/training-PROCESSOR.jsonl; --page
puts the last record of every row into docs/training.md. Above its bar a row fails. --rows tiny_lora tiny_step try the bench itself by small networks, and are not recorded.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import types

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "peers")]
import lora  # noqa: E402
import records  # noqa: E402

LEAST = ["--set", "mixed_precision=bf16", "--set", "optimizer=adamw8bit", "--set", "fused_backward_pass=true", "--set",
         "max_grad_norm=0"]
# What is trained; family of the weights, side in pixels, bar in GiB.
LORA = {"lora_sd15": ("a LoRA of Stable Diffusion 1.5", "sd15", 512, 4),
        "lora_sdxl_512": ("a LoRA of SDXL", "sdxl", 512, 8),
        "lora_sdxl_1024": ("a LoRA of SDXL", "sdxl", 1024, 10)}
FULL = {"full_sd15": ("all weights of Stable Diffusion 1.5's UNet", "sd15", 512, 10),
        "full_pangu_draw_3": ("all weights of one generator of PanGu-Draw 3", "pangu_draw_3", 512, 18)}
TINY_LORA = {"tiny_lora": ("a LoRA of a tiny network", "tiny", 128, 1)}
TINY_FULL = {"tiny_step": ("all weights of a tiny UNet", "tiny", 128, 1)}
ROWS = {**LORA, **FULL, **TINY_LORA, **TINY_FULL}
TOKENS, LATENT_PX = 77, 8
USUAL_STEPS, FEWEST_STEPS = 4, 2  # the state of the optimiser is in memory from the first step on
SAID = re.compile(r"([\d.]+) B parameters, .*: ([\d.]+) s a step \(optimizer (\d+) %\), at most ([\d.]+) GiB in steps, "
                  r"([\d.]+) GiB with the checkpoint")
HEAD = ("row", "what is trained", "size", "bar", "most memory", "in its parts", "a step", "measured")


def model_of(folder, family):
    """The weights of a family, which are made if there are none."""
    if family == "tiny":
        import weights  # of bench/peers
        return weights.weights_of(family, folder)
    path = folder / f"{family}.safetensors"
    if not path.exists():
        import full_size_weights
        full_size_weights.single(family, folder)
    return path


def unet_config(folder, family):
    import full_size_weights as full
    import weights
    from diffusers import UNet2DConditionModel
    shapes = {"sd15": full.SD15, "pangu_draw_3": dict(full.SDXL, projection_class_embeddings_input_dim=1536),
              "tiny": dict(full.SD15, **weights.TINY_UNET)}
    model, _ = full.on_meta(UNet2DConditionModel, **shapes[family])
    path = folder / f"{family}_unet.json"
    path.write_text(json.dumps(dict(model.config), default=str))
    return path


def lora_row(args, family, side_px):
    model = model_of(args.folder, family)
    with tempfile.TemporaryDirectory(dir=args.folder) as made:
        folder = pathlib.Path(made)
        lora.write_pictures(folder / "pictures", side_px, args.steps)
        asked = types.SimpleNamespace(program=args.build / "pangu-draw", model=model, rank=16, threads=args.threads,
                                      resolution=side_px, precision="bf16")
        _, encoding_gib = lora.ours(asked, folder, 1, "first")
        seconds, peak_gib = lora.ours(asked, folder, args.steps, "second")
    return {"step_seconds": seconds, "peak_gib": peak_gib, "encoding_gib": encoding_gib}


def full_row(args, family, side_px, bar_gib):
    with tempfile.TemporaryDirectory(dir=args.folder) as out:
        command = [args.build / "bench/bench_train_step", unet_config(args.folder, family), out, "--side",
                   side_px // LATENT_PX, "--tokens", TOKENS, "--steps", args.steps, "--threads", args.threads, "--most-gib",
                   bar_gib, *LEAST]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    found = SAID.search(done.stdout)
    if not found:
        sys.exit(f"bench/train_memory.py: bench_train_step ended with {done.returncode} and said {done.stdout!r}")
    parameters, seconds, optimizer, steps_gib, peak_gib = map(float, found.groups())
    return {"step_seconds": seconds, "peak_gib": peak_gib, "steps_gib": steps_gib, "parameters": round(parameters * 1e9),
            "optimizer_share": optimizer / 100}


def measured(args, row):
    """The record of a row."""
    what, family, side_px, bar_gib = ROWS[row]
    is_lora = row in LORA or row in TINY_LORA
    record = {"row": row, "what": what, "side_px": side_px, "bar_gib": bar_gib, "begun": records.now(),
              "machine": records.processor()["model name"], "threads": args.threads, "program": records.program_version(),
              "busy_before": os.getloadavg()[0], "steps": args.steps}
    found = lora_row(args, family, side_px) if is_lora else full_row(args, family, side_px, bar_gib)
    return {**record, **found}


def told(record):
    more = f"encoding {record['encoding_gib']:.2f}" if "encoding_gib" in record else f"steps {record['steps_gib']:.2f}"
    return (f"{record['row']:18} {record['peak_gib']:6.2f} GiB at most ({more} GiB; bar {record['bar_gib']} GiB), "
            f"{record['step_seconds']:.2f} s a step, {record['threads']} threads")


def page_section(found):
    """The last record of every row, as a table in the order of the rows; a row without one has its bar."""
    last, lines = {record["row"]: record for record in found}, []
    for row, (what, _, side_px, bar_gib) in {**LORA, **FULL}.items():
        record = last.get(row)
        cells = ["-", "-", "-", "not yet, by this command"]
        if record:
            bar_gib = record["bar_gib"]
            missed = "" if record["peak_gib"] <= bar_gib else " **above the bar**"
            cells = [f"{record['peak_gib']:.2f} GiB{missed}",
                     f"encoding: {record['encoding_gib']:.2f} GiB" if "encoding_gib" in record
                     else f"without the checkpoint: {record['steps_gib']:.2f} GiB",
                     f"{record['step_seconds']:.1f} s", f"{record['begun'][:10]}, {record['machine']}, {record['threads']} "
                     f"threads{records.busy_text(record)}, {record['program']}"]
        lines.append((f"`{row}`", what, f"{side_px} px", f"{bar_gib} GiB", *cells))
    return records.table(HEAD, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("build", type=pathlib.Path, nargs="?")
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=[*LORA, *FULL])
    parser.add_argument("--steps", type=int, default=USUAL_STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=pathlib.Path, help="default: a file of bench/results for this processor")
    parser.add_argument("--page", action="store_true", help="write the records that there are into docs/training.md")
    args = parser.parse_args()
    if args.steps < FEWEST_STEPS:
        parser.error(f"--steps: expected {FEWEST_STEPS} or more, found {args.steps}")
    if args.folder is None and not args.page:
        parser.error("expected BUILD and FOLDER, or --page")
    missed = []
    if args.folder is not None:
        args.folder.mkdir(parents=True, exist_ok=True)
        path = args.results or records.results_path("training", "model name", "cpu family", "model")
        for row in args.rows:
            record = measured(args, row)
            print(told(record), flush=True)
            if row in LORA or row in FULL:
                records.append(path, record)
            if record["peak_gib"] > record["bar_gib"]:
                missed.append(row)
    if args.page:
        records.write_section("docs/training.md", "bench/train_memory", page_section(records.read("training")))
    if missed:
        sys.exit(f"bench/train_memory.py: above their bars: {', '.join(missed)}")


if __name__ == "__main__":
    main()
