#!/usr/bin/env python3
"""Writes docs/models.md from what the parity tests print.

  ./pangu-draw test parity 2>&1 | tools/models_page.py > docs/models.md

Every line "parity  NAME  error E  bound B" becomes a row, so the page lists what is tested and nothing
else; a parity test fails when a case of its own is not on the page. The name of a picture is
"picture: [single ]FAMILY TASK[: DETAIL]" and fills a cell of the table of families and tasks; "changed NAME by D with
SETTING" says how far the picture changes with another value of the tested setting. "rival NAME | OURS | THEIRS | D" is
a row of what other programs do differently.
"""

import re
import sys

LINE = re.compile(r"parity\s+(?P<name>.*?)\s+error\s+(?P<error>\S+)\s+bound\s+(?P<bound>\S+)")
CHANGED = re.compile(r"changed (?P<name>.*?)\s+by (?P<difference>\S+) with (?P<setting>.*)")
RIVAL = re.compile(r"rival\s+(?P<name>.*) \| (?P<ours>.*) \| (?P<theirs>.*) \| (?P<difference>\S+)")
PIPELINES = "diffusers"
FAMILIES = {"sd15": ("Stable Diffusion 1.x", PIPELINES), "sd21": ("Stable Diffusion 2.x", PIPELINES),
            "sd21v": ("Stable Diffusion 2.x, v-prediction", PIPELINES), "sdxl": ("SDXL", PIPELINES),
            "ssd1b": ("SSD-1B", PIPELINES), "refiner": ("SDXL refiner", PIPELINES), "variations": ("SD image variations", PIPELINES),
            "pangu3": ("PanGu-Draw 3", "its second statement, tools/pangu_reference")}
TASKS = ("text to image", "image to image", "inpainting", "inpainting model", "controlnet", "LoRA",
         "textual inversion", "tiny autoencoder", "image prompt", "with refiner")
SINGLE = "single file"
PICTURE = re.compile(rf"picture: (?P<case>(?P<single>single )?(?P<family>{'|'.join(FAMILIES)}) "
                     rf"(?P<task>{'|'.join(TASKS)})(: .*)?)")
TEXT = """# Models that run, and what each is tested against

A model is a folder in diffusers' layout or one LDM `.safetensors`; which family it is, is read off the names and
shapes of its tensors, never off the file's name. f32, f16 and bf16 files are mapped and converted on load.
Pickled files (`.ckpt`, `.pt`, `.bin`) are refused, with the line that converts them.

PanGu-Draw 3 is a folder with its two MindSpore `.ckpt` as released. They hold the same tensors, so here alone names
count: the file with `low` in its name is the texture generator (little noise, the last steps) and gives autoencoder
and text encoders too, the one with `high` is the structure generator. One of them alone is refused.
`./pangu-draw convert FOLDER OUT` makes one diffusers folder of the two.

| family | how it is recognised | conditions |
|---|---|---|
| Stable Diffusion 1.x | convolutional projections, one CLIP text encoder | text |
| Stable Diffusion 2.x (eps and v) | linear projections, one OpenCLIP text encoder | text; the layer before the last |
| SDXL base | two text encoders, six size numbers | text, pooled text, sizes and crop |
| SSD-1B | SDXL without attention in the middle; depths of its own for every attention | as SDXL |
| SDXL refiner | one OpenCLIP text encoder, four levels, five size numbers | text, pooled text, aesthetic score |
| PanGu-Draw 3 | SDXL's network with one size index; Chinese CLIP beside OpenCLIP bigG | text, pooled text, size index |
| SD image variations | a CLIP image encoder instead of a text encoder | `--image-prompt` |
| inpainting variants | nine input channels | `--init-image`, `--mask` |
| ControlNet, LoRA, textual inversion, TAESD | `--controlnet`, `--lora`, `--embedding`, `--vae` | |

Every key of `scheduler_config.json` and of the `config.json` of networks is applied, known to have no effect here,
or refused by file and key; `inspect` says what `draw` would refuse. Of a scheduler's file the terms of the training
count: betas (`trained_betas` too), zero terminal SNR, a flow's `shift`, what is predicted, where the steps lie. Its
class and what it says of stepping (`solver_order`, `use_karras_sigmas`, ...) do not, because a request chooses sampler
and schedule; classes of other mathematics (EDM) are refused, as is `thresholding`. `clip_sample` is passed over, as
diffusers' own pipelines of Stable Diffusion switch it off. An autoencoder's `latents_mean` and `latents_std` are
applied.

**What a single file does not say.** Whether a network predicts the noise or v is taken from `--prediction-type`
(`epsilon`, `v_prediction`, `sample` or `flow_prediction`), else from the YAML configuration beside the file (`x.yaml` for
`x.safetensors`, as A1111's web UI looks for it; of it count `parameterization` or sgm's scaling class, `linear_start`,
`linear_end`, `timesteps` and `scale_factor`), else from markers and metadata in the file (`v_pred`,
`modelspec.prediction_type`), else from the family. `inspect` says which it was. Files with markers of EDM are refused.

**Parts in files apart.** `--vae`, `--unet` and `--text-encoder` (twice for SDXL) take a part from any file that holds one:
a file of it alone under the names of LDM, OpenCLIP or diffusers, a whole checkpoint, a model folder or the folder of one
component. `--model` may then be a denoiser alone; what is still missing is named with the flag that gives it.

**How weights may be saved.** f64, f32, f16, bf16, fp8, and fp8 with a scale for each tensor or row (`scale_weight`,
`weight_scale`). Other quantised weights are refused by their kind. The prefixes that torch.compile, DataParallel and FSDP
leave in front of names are taken off. A ControlNet saved as a difference (a tensor `difference`) is added to the
denoiser; a ControlNet union is refused. Where a network computes numbers that are not finite, its weights are searched,
the tensor is named, and no picture is written.

**The autoencoder's type** is `--vae-dtype`, apart from `--dtype`: f32 unless said, as PanGu-Draw 3 was released and as
diffusers upcasts SDXL's (`force_upcast`), because bf16 shows in flat areas. The models that this program trains follow
`--dtype` unless their `vae/config.json` says `force_upcast`. A PNG carries the type, and `--from` takes it over.

**Consistency models** with `time_cond_proj_dim` (LCM) are told the guidance scale, as diffusers tells it, and are asked
for the prompt alone: the negative prompt has no effect.

**Several pictures of one request** (`--count`) share their forwards where they are small: as many as have 2048 latent
pixels together, all rows of guidance counted, which are four pictures of `models/mini` and one of Stable Diffusion at 512 x
512. How many is a function of request and model, and a PNG keeps it. A picture of a batch is its single but for the order of
sums: by 0.0002 of 255 on average in f32 and by nothing in bf16 where it was measured (`bench_batch`, and a test of 0.001
and 0.05).

## Adapters, embeddings and prompts

`--lora FILE[:WEIGHT]` reads the files of kohya's trainers, LyCORIS, diffusers (all three namings), PEFT, OneTrainer and
SimpleTuner; FILE may be PEFT's folder. A changed weight is W + WEIGHT x dW, for every file from the model's own W:

| form | dW | parts in the file |
|---|---|---|
| LoRA, LoCon | alpha / rank x up @ down, in Tucker's form up x mid x down | `lora_up`, `lora_down`, `lora_mid`; `lora_A`, `lora_B` |
| LoHa | alpha / rank x (w1_a @ w1_b) * (w2_a @ w2_b), also in Tucker's form | `hada_w1_a` ... `hada_t2` |
| LoKr | alpha / rank x kron(w1, w2); no scale where both factors are whole | `lokr_w1` ... `lokr_t2` |
| DoRA, with any of these | m x (W + dW) / norm(W + dW) - W, by rows or by columns as the shape of m says | `dora_scale`, `lora_magnitude_vector` |
| differences of weights, norms, biases | as they are | `diff`, `diff_b`, `w_norm`, `b_norm`; `lora_B.bias` |

A DoRA at another weight than 1 goes that part of the way, as A1111 and ComfyUI do; PEFT scales dW inside of
the norm instead. `alpha`, `alpha_pattern`, `use_rslora` and `use_dora` of PEFT's `adapter_config.json` and of diffusers'
metadata count. OFT, IA3, GLoRA, VeRA and AdaLoRA are refused by name, by `inspect` too. If most modules of a file fit
the model, those that do not are left out with a warning; else the file is refused. So is one with numbers that are not
finite, and a weight beyond 1000.

`--embedding FILE` gives a word, the file's name, a meaning: `emb_params`, `string_to_param.*`, `clip_l` and `clip_g`,
`text_encoders_0` and `text_encoders_1`, or a tensor named by its token as diffusers writes it. For SDXL the two halves
may be two files, given one after the other: of the same token, or `NAME` and `NAME_2`. Embeddings that come along in a
LoRA (`bundle_emb.WORD`) work as well. ComfyUI's `embedding:NAME` is understood.

Prompts of models with CLIP's text encoders have A1111's syntax:

| written | read as |
|---|---|
| `(word)`, `[word]`, `(word:1.3)` | more or less weight: times 1.1, divided by 1.1, times 1.3 |
| `[from:to:0.5]`, `[from:to:8]` | `from` for half of the steps, or for 8 steps; then `to` |
| `[to:0.5]`, `[from::0.5]` | nothing before, nothing after |
| `[a\\|b\\|c]` | one a step, in turn |
| `a AND b :0.5` | drawn together: guidance towards each, times its weight (composable diffusion) |
| `BREAK` | a new chunk of 75 tokens begins |
| `<lora:NAME:0.8>` | `NAME.safetensors` in `--lora-dir` |
| `\\(`, `\\[`, `\\\\` | the character itself |

They nest. The change comes after as many steps as A1111's documentation says; its program makes it one step later. With
image-to-image shares are of the steps that are drawn. Where guidance does not act, the first of several joined prompts
counts alone. The embedded models and PanGu-Draw 3 read every word as it is written and warn of such syntax, and of the
words behind their 77 tokens, which are cut.

## How it is tested

Everything is compared with the reference libraries (diffusers, transformers, open_clip, NumPy, torch) on the
same random weights, seeds and noise, in f32. `./pangu-draw test parity` prints these lines again.

"""
PICTURES = """## Families and tasks

The worst error of the whole pictures of a family and a task; a dash where no picture is compared. Inpainting is
by blending of latents, an inpainting model has nine input channels. "single file" are the pictures for which this
program drew from one LDM `.safetensors` and the reference from the folder of the same weights.

"""
RIVALS = """## Whom we follow

diffusers, k-diffusion, A1111's web UI and ComfyUI do not draw the same picture from the same numbers. This is what
this program does in each case that is drawn, what others do instead, and the mean difference of bytes (of 255)
between the two pictures, over the tiny models with random weights; a released network differs by other amounts. A
picture is compared with diffusers after the choice in the second column was made there too.

ComfyUI begins at noise x sqrt(1 + sigma^2) where sigma is the last of the table, else at noise x sigma. A1111's
option "SGM noise multiplier" makes it begin as this program does, and its "quantization in K samplers" rounds t.

"""
WHOLE = """## Whole pictures

Same seed, same settings, `--noise torch-cpu`: the mean difference of bytes (of 255) from the PNG of diffusers'
own pipeline, with the choices of the table above; for PanGu-Draw 3, `--noise numpy` and the picture of its second
statement in Python. Every case is drawn again with another value of the setting that it is about: the last column is
how far that moves the picture, and the bound is at most a twentieth of it. Of several pictures at once the error is
that of the farthest one, each against the one that diffusers draws alone.

"""


def table_of(head, lines):
    text = f"| {' | '.join(head)} |\n" + "|---" * len(head) + "|\n"
    return text + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def pictures_of(found):
    """Yields (case, family, tasks, error, bound) of every picture; a name that is not understood is an error."""
    pictures = []
    for name, error, bound in found:
        if not name.startswith("picture: "):
            continue
        match = PICTURE.fullmatch(name)
        if not match:
            sys.exit(f"models_page: '{name}': expected 'picture: [single ]FAMILY TASK[: DETAIL]', "
                     f"FAMILY of {', '.join(FAMILIES)}, TASK of {', '.join(TASKS)}")
        tasks = [match["task"]] + [SINGLE] * bool(match["single"])
        pictures.append((match["case"], match["family"], tasks, error, bound))
    return pictures


def table(pictures):
    """The table of families and tasks, with what each family is tested against."""
    columns = [*TASKS, SINGLE]
    text = "| family | " + " | ".join(columns) + " | tested against |\n" + "|---" * (len(columns) + 2) + "|\n"
    for family, (title, against) in FAMILIES.items():
        cells = []
        for column in columns:
            errors = [error for _, own, tasks, error, _ in pictures if own == family and column in tasks]
            cells.append(max(errors, key=float, default="-"))
        text += f"| {title} | {' | '.join(cells)} | {against} |\n"
    return text + "\n"


def main():
    printed = list(sys.stdin)
    found = [(m["name"], m["error"], m["bound"]) for m in map(LINE.search, printed) if m]
    if not found:
        sys.exit("models_page: no line of the parity tests in the input")
    changed = {m["name"]: f"{m['difference']}: {m['setting']}" for m in map(CHANGED.search, printed) if m}
    rivals = [(m["name"], m["ours"], m["theirs"], m["difference"]) for m in map(RIVAL.search, printed) if m]
    pictures = pictures_of(found)
    # Files of tests run side by side, in any order.
    others = sorted(line for line in set(found) if not line[0].startswith("picture: "))
    print(TEXT + PICTURES + table(pictures) + RIVALS, end="")
    print(table_of(("case", "this program", "others", "difference"), rivals))
    print(WHOLE, end="")
    for family, (title, _) in FAMILIES.items():
        own = [(case, error, bound, changed.get(case, "-"))
               for case, of, _, error, bound in pictures if of == family]
        if own:
            print(f"### {title}\n\n{table_of(('case', 'error', 'bound', 'moved by'), own)}")
    print("## Networks, samplers, tokenizers, names\n\nGreatest difference over the greatest magnitude; of tokenizers "
          "and prompts, how many texts differ.\n")
    print(table_of(("case", "error", "bound"), others), end="")


if __name__ == "__main__":
    main()
