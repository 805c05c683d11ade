#!/usr/bin/env python3
"""Writes docs/performance.md from the results in bench/results/ of bench/peers and bench/busy.py, a section a processor.

  tools/performance_page.py > docs/performance.md
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench/peers"))
from engines import ENGINES  # noqa: E402
import busy  # noqa: E402  # beside records, whose folder engines adds
from models import MODELS  # noqa: E402
from records import table as markdown  # noqa: E402
from samples import OURS, newest, summaries_of  # noqa: E402
from table import HEAD, memory_rows_of, rows_of  # noqa: E402

TITLES = {name: engine.title for name, engine in ENGINES.items()}
KINDS = ("convolution", "attention", "linear", "norm and activation", "sums", "copies", "other")
TEXT = """# Performance beside others

Written by `tools/performance_page.py` from `bench/results/`; do not edit it by hand.

```sh
bench/peers/run.sh --quick          # the rows that matter most, under 15 minutes after the first time
bench/peers/run.sh                  # every row; the same command goes on where it was stopped, as the first does
bench/peers/run.sh --rows sd15/step --engines openvino
bench/peers/run.sh --rows sdxl/run --steps 2   # load, first step and peak memory, where whole pictures take too long
bench/peers/run.sh --list
```

compare this program with other engines on the machine at hand. The first time it makes a Python environment, random
weights and OpenVINO's networks in a cache folder (`--cache`, 35 GB for all rows, 10 GB for `--quick`); `--prepare` does
nothing else.

## How it is measured

- Every engine is a process that answers requests by lines (`bench/peers/child.py`), pinned to the same cores, with the
  same shapes and the same random weights (bf16, diffusers' layout). This program is started as `pangu-draw` is, loads by
  the loader of `draw`, and calls networks as a drawing does. It decodes in bf16 here, whatever `draw` would choose.
- Peers compute in the type that they are fastest in: bf16 where the processor has instructions that multiply bf16 numbers
  (AVX512-BF16, AMX), else f32, in which its peak is then measured too. This program has kernels for bf16 on both
  ([levels.md](levels.md)), where it takes half of the memory of f32; on processors without such instructions it is
  measured in f32 as well. The name of an engine says its type.
- Engines take turns, and the order of the turns is reversed every round. Each sample stands between two *probes of the
  peak*: libtorch's 3x3 convolution (320 channels, 64x64, batch 2, channels-last), and a loop that multiplies registers,
  both in bf16 or f32 as above. A processor's matrix unit changes its speed by several times within seconds, so samples
  whose probes differ by more than 15 % are dropped ("kept" says how many were not), and only samples of one round at the
  same peak make a pair.
- *times ours* is the peer's seconds over ours, the median over pairs: above 1 this program is faster. The interval
  holds the median with 95 % confidence by order statistics; of fewer than six pairs it is the least and the greatest.
- *share of the peak* is the operations counted from the shapes (`src/nn/unet/cost.h`), by seconds, by the convolution's
  rate at that moment. A convolution counts as its definition says, however an engine computes it, so that fewer products
  (this program computes 4 for 6 of a 3x3 convolution) or int8 can exceed the whole.
- `step` is one evaluation of the denoiser with guidance, two rows a picture; bN is N pictures at once. This program
  prepares what depends on the prompt alone once a picture, outside of its steps.
- `load`, `first_step`, `picture`, `cold_picture` and `peak_memory` are of a fresh process whose files are in the page
  cache: reading the weights; from the start of the process to the end of the first step; text encoder, all steps and
  decoding to PNG; all of these together; the greatest resident set (VmHWM), mapped files as far as they were touched.
  There is a probe between any two steps; a disturbed step stands for the median of the others.
- A step of `models/mini` takes some milliseconds, and would be one of sleeping threads and cold caches behind every probe,
  as no drawing has it. A sample is ten steps or decodings on end there, and its pictures have no probe inside.
- On a processor with AMX products and convolutions are libtorch's. OpenVINO is ahead there with `models/mini`, and diffusers in
  its decoding.
- These rows have this program three times. The first is without a folder of packed weights (`--packed-weights off`). *First
  start* finds the folder empty and writes its file while it draws; its memory is that of the process until the file is
  whole. *Later starts* map that file. `draw` does the latter two by itself ([models.md](models.md)), for denoisers of 128
  MiB and more; ratios are to the first.
- OpenVINO's networks are converted beforehand and compiled for their shape when they are loaded, without its cache of
  compiled networks. torch.compile keeps its compiled code in the cache folder. stable-diffusion.cpp only draws whole
  pictures: a step is what passes between two calls of its progress callback. It is measured a third as often.
- *Two drawings side by side* are two processes of `pangu-draw draw` that begin together on the same cores, from their
  start to the end of the later one, by turns with one alone (`bench/busy.py --rows mini sd15`).

## On a GPU

`bench/gpu.sh` builds the program for CUDA, compares pictures and a training with those of the CPU, and measures steps and
decoding of the same models beside diffusers and torch.compile. It has been run on no GPU yet. The program was linked with the
wheel torch-2.13.0 (CUDA 13) on a machine without a GPU: it draws the bytes there that it draws with the CPU's wheel, and says
that there is no device when it is asked for one.

"""


def probes_of(records):
    """Returns a sentence that says what the peak was measured with."""
    probes = [peak for r in records for peak in (r.get("before"), r.get("load", {}).get("before")) if peak]
    # Records from before the convolution had a choice of types are of processors with bf16.
    kinds = dict.fromkeys((probe.get("conv_type", "bf16"), probe["loop"]) for probe in probes)
    told = " and ".join(f"the convolution in {conv} and the register loop `{loop}`" for conv, loop in kinds)
    return f"The peak is that of {told}.\n\n" if told else ""


def processor_section(records, side_by_side):
    machines = [r for r in records if r["kind"] == "machine"]
    last = machines[-1]
    text = f"## {last['processor']} (family {last['family']}, model {last['model']}, stepping {last['stepping']})\n\n"
    text += (f"Measured {machines[0]['run'][:10]} to {last['run'][:10]} with {last['threads']} threads, "
             f"{last['memory_bytes'] / 2**30:.0f} GiB of memory, Linux {last['kernel']}. "
             f"Flags: {' '.join(last['flags'])}.\n\n")
    text += probes_of(records)
    used = {r["engine"]: r["version"] for r in newest(records) if "engine" in r}
    text += markdown(("engine", "version"), [(TITLES.get(e, e), v) for e, v in sorted(used.items())]) + "\n"
    text += "Models: " + ", ".join(f"`{name}` is {model.title} at {model.size_px}x{model.size_px}"
                                   for name, model in MODELS.items() if name != "tiny") + ".\n\n"
    text += markdown(HEAD, rows_of(records, TITLES)) + "\n"
    memory = memory_rows_of(records, TITLES)
    if memory:
        text += markdown(("row", "engine", "greatest resident set"), memory) + "\n"
    if side_by_side:
        text += "Two drawings side by side:\n\n" + busy.page_section(side_by_side) + "\n"
    return text + profile_section(records) + failures_section(records)


def best_peer(records, row, profiled):
    """Returns the profiled peer with the least median of a row, or None."""
    seconds = {s.engine: s.seconds for s in summaries_of(records) if s.row == row and s.seconds is not None}
    peers = [engine for engine in profiled if engine != OURS]
    known = [engine for engine in peers if engine in seconds]
    return min(known, key=seconds.get) if known else next(iter(peers), None)


def profile_section(records):
    found = {}
    for r in newest(records):
        if r["kind"] == "profile":
            found.setdefault((r["row"], r["of"]), {})[r["engine"]] = r
    text = ""
    for (row, of), engines in found.items():
        best = best_peer(records, row.replace("/profile/", f"/{of}/"), engines)
        shown = [engine for engine in (OURS, best) if engine in engines]
        head = [f"{row.split('/')[0]}, {of}: kind of operator", *(TITLES.get(e, e) for e in shown)]
        lines = []
        for kind in KINDS:
            shares = [engines[e]["kinds"].get(kind, 0.0) / engines[e]["seconds"] for e in shown]
            lines.append([kind, *(f"{100 * share:.0f} %" for share in shares)])
        text += markdown(head, lines) + "\n"
    if text:
        text = ("Where the time goes, of this program and of the best peer that was profiled, by the profiler of each. "
                "Norms and activations that are computed together with a product count to it.\n\n") + text
    return text


def failures_section(records):
    measured = {(r["row"], r["engine"]) for r in records if r["kind"] in ("sample", "run", "profile")}
    reasons = {(r["row"], r["engine"]): r["reason"] for r in records if r["kind"] == "failure"}
    lines = [(row, TITLES.get(engine, engine), reason.replace("|", "/"))
             for (row, engine), reason in reasons.items() if (row, engine) not in measured]
    return "Could not be measured:\n\n" + markdown(("row", "engine", "what it said"), lines) + "\n" if lines else ""


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def main():
    sections = []
    for path in sorted((ROOT / "bench/results").glob("peers-*.jsonl")):
        records = read(path)
        if any(r["kind"] == "machine" for r in records):
            sections.append(processor_section(records, read(path.with_name(path.name.replace("peers-", "busy-")))))
    print((TEXT + ("\n".join(sections) or "No machine's results are kept yet.\n")).rstrip())


if __name__ == "__main__":
    main()
