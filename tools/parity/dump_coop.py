"""Dumps drawings of Coop-Diffusion by the paper's own formulation (tools/coop_reference.py), for
tests/parity/coop_test.cpp.

  dump_coop.py OUT_DIR

OUT_DIR/models/NAME are tiny pipelines with random weights in the topology of the real ones, cases.json lists
{name, recipe, compared}: the recipe as our JSON, and how many steps' latents of every part can be compared.
CASE.safetensors holds "STEP/PART", the variance-preserving latents after every step, and "ab", their alpha-bar. Noise
comes from one generator of torch: first the hub's, then the others' (equal shapes share it), then that of the handoff.
"""

import functools
import json
import math
import pathlib
import sys

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

import picture_models as tiny

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import coop_reference as paper  # noqa: E402

STEPS, SEED, GUIDANCE = 20, 11, 5.0
PROMPT, NEGATIVE = "a photo of a cat, wearing a straw hat", "blurry"
TIMES = [951 - 50 * i for i in range(STEPS)] + [-1]  # leading spacing, offset 1; -1: clean
CLEAN = functools.partial(tiny.scheduler, set_alpha_to_one=True)  # ends there
EXACT = torch.float64  # the reference leaves no rounding of its own


def sd15(folder):
    return StableDiffusionPipeline(
        vae=tiny.vae(0.18215), unet=tiny.unet_sd(), scheduler=CLEAN(),
        text_encoder=tiny.text_encoder(64, 3, "quick_gelu"), tokenizer=tiny.tokenizer(folder / "sd1", "<|endoftext|>"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def sdxl(folder):
    return StableDiffusionXLPipeline(
        vae=tiny.vae(0.13025), unet=tiny.unet_xl(64, 6, 64 + 96, levels=3), scheduler=CLEAN(),
        text_encoder=tiny.text_encoder(64, 3, "quick_gelu"), tokenizer=tiny.tokenizer(folder / "xl1", "<|endoftext|>"),
        text_encoder_2=tiny.text_encoder(96, 3, "gelu", projection=64),
        tokenizer_2=tiny.tokenizer(folder / "xl2", "!"), add_watermarker=False)


class Dump:
    def __init__(self, out):
        self.out, self.cases, self.pipes = pathlib.Path(out), [], {}
        torch.manual_seed(1)
        for name, make in (("sd15", sd15), ("sdxl", sdxl)):
            pipe = make(self.out / "tokenizers")
            pipe.save_pretrained(self.out / "models" / name)
            self.pipes[name] = pipe.to(dtype=EXACT)

    def member(self, name, width, height):
        return paper.Member(self.pipes[name], width, height, PROMPT, NEGATIVE, GUIDANCE)

    def table(self, name, width, height, hub=False, **more):
        return {"name": name, "model": str(self.out / "models" / name), "hub": hub, "size": f"{width}x{height}", **more}

    def write(self, name, members, path, compared, **more):
        tensors = {f"{i}/{k}": z.float().contiguous() for i, zs in enumerate(path.z) for k, z in enumerate(zs)}
        save_file(tensors | {"ab": torch.tensor(path.ab, dtype=torch.float64)}, self.out / f"{name}.safetensors")
        recipe = {"prompt": PROMPT, "negative": NEGATIVE, "steps": STEPS, "guidance": GUIDANCE, "seed": SEED,
                  "sampler": "ddim", "schedule": "normal", "noise": "torch-cpu", "bridge": "exact",
                  "size": members[[m["hub"] for m in members].index(True)]["size"], "member": members, **more}
        self.cases.append({"name": name, "recipe": recipe, "compared": compared})

    def latent(self, name, hub, other, d_of, compared, hub_more, other_more, other_size=(96, 64)):
        a, b = self.member(hub, 96, 64), self.member(other, *other_size)
        draws = torch.Generator("cpu").manual_seed(SEED)
        z = a.noise(draws)
        z_ = z.clone() if b.shape == a.shape else b.noise(draws)
        path = paper.Path()
        paper.latent_gap(a, b, z, z_, TIMES, d_of, path)
        self.write(name, [self.table(hub, 96, 64, hub=True, **hub_more), self.table(other, *other_size, **other_more)],
                   path, compared)

    def resolution(self, name, upsample, t_low):
        low, high = self.member("sd15", 96, 64), self.member("sdxl", 192, 128)
        draws = torch.Generator("cpu").manual_seed(SEED)
        path = paper.Path()
        paper.resolution_gap(low, high, low.noise(draws), TIMES, t_low, upsample, draws, path)
        self.write(name, [self.table("sdxl", 192, 128, hub=True), self.table("sd15", 96, 64)], path, [len(path.z)],
                   stage=[{"members": ["sd15"], "until": f"t={t_low}", "size": "96x64", "upscale": upsample},
                          {"members": ["sdxl"]}])

    def both(self, name):
        """Two members fused at low resolution, then the hub at a higher one."""
        a, b, high = self.member("sd15", 96, 64), self.member("sdxl", 96, 64), self.member("sdxl", 192, 128)
        draws, path = torch.Generator("cpu").manual_seed(SEED), paper.Path()
        z = a.noise(draws)
        t_low = 501
        early = [t for t in TIMES if t >= t_low]
        z, z_ = paper.latent_gap(a, b, z, z.clone(), early, lambda t: 0.4, path)
        z0 = paper.fused_guess(a, b, z, z_, t_low, 0.4)
        z = paper.carried(a, high, z0, t_low, "bicubic", draws)
        paper.one_alone(high, z, [t for t in TIMES if t <= t_low], path)
        steps = len(early) - 1
        # The part that does not go on is not moved in the last step of a stage only where nobody asks for it.
        self.write(name, [self.table("sd15", 96, 64, weight=0.6),
                          self.table("sdxl", 96, 64, weight=0.4) | {"name": "sdxl low"},
                          self.table("sdxl", 192, 128, hub=True)], path, [STEPS, steps],
                   stage=[{"members": ["sd15", "sdxl low"], "until": f"t={t_low}", "size": "96x64"},
                          {"members": ["sdxl"]}])


def main():
    torch.set_num_threads(1)
    dump = Dump(sys.argv[1])
    with torch.no_grad():
        for hub, other in (("sdxl", "sd15"), ("sd15", "sdxl")):
            for d in (0.3, 0.5, 0.7):
                # The other's part is not moved in the last step: nobody asks for it any more.
                dump.latent(f"hub {hub}, {other} at {d}", hub, other, lambda t, d=d: d, [STEPS, STEPS - 1],
                            {"weight": 1 - d}, {"weight": d})
        first, end = 5, 14
        dump.latent("a range of t", "sdxl", "sd15", lambda t: 0.5 * (TIMES[end] < t <= TIMES[first]), [STEPS, end],
                    {"weight": 0.5}, {"weight": 0.5, "from": first / STEPS, "to": end / STEPS})
        alpha_bar = dump.member("sd15", 96, 64).ab
        # The weights 1 and w(sigma), which rises from 0.5 to 2 between sigma 0.5 and 8.
        def curve(t):
            sigma = math.sqrt(1 / alpha_bar(t) - 1)
            w = 0.5 + 1.5 * min(1.0, max(0.0, math.log(sigma / 0.5) / math.log(16)))
            return w / (1 + w)
        dump.latent("a curve of weights", "sdxl", "sd15", curve, [STEPS, STEPS - 1], {"weight": 1.0},
                    {"weight_curve": [[0.5, 0.5], [8.0, 2.0]]})
        dump.latent("another size of the other", "sdxl", "sd15", lambda t: 0.5, [STEPS, STEPS - 1], {"weight": 0.5},
                    {"weight": 0.5}, other_size=(64, 128))
        for upsample, t_low in (("bicubic", 501), ("nearest", 501), ("bilinear", 501), ("lanczos", 480)):
            dump.resolution(f"low to high at {t_low}, {upsample}", upsample, t_low)
        dump.both("two at low resolution, then one at high")
    (dump.out / "cases.json").write_text(json.dumps(dump.cases, indent=1))


if __name__ == "__main__":
    main()
